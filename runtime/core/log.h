// A log is a callback that the caller owns; the library writes nothing to stdout or stderr.
#pragma once

#include <functional>
#include <string_view>

namespace lahar {

enum class LogLevel { kDebug, kInfo, kWarning, kError };

// Cheap to copy. Thread rule: the sink may be called from any thread that the library runs, one call at a time per Log
// is not guaranteed; a sink that is not thread-safe must lock.
class Log {
 public:
  using Sink = std::function<void(LogLevel, std::string_view)>;

  Log() = default;  // drops everything
  explicit Log(Sink sink, LogLevel least = LogLevel::kInfo) : sink_(std::move(sink)), least_(least) {}

  bool enabled(LogLevel level) const { return sink_ && level >= least_; }
  void debug(std::string_view text) const { write(LogLevel::kDebug, text); }
  void info(std::string_view text) const { write(LogLevel::kInfo, text); }
  void warning(std::string_view text) const { write(LogLevel::kWarning, text); }
  void error(std::string_view text) const { write(LogLevel::kError, text); }
  void write(LogLevel level, std::string_view text) const {
    if (enabled(level)) sink_(level, text);
  }

 private:
  Sink sink_;
  LogLevel least_ = LogLevel::kInfo;
};

}  // namespace lahar
