#include "cli/terminal.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>

#include "core/platform.h"
#include "engine/memory_plan.h"

namespace lahar::cli {
namespace {

Style style(bool terminal) {
  const char* no_color = std::getenv("NO_COLOR");
  if (!terminal || (no_color != nullptr && no_color[0] != '\0')) return {};
  return {"\x1b[2m", "\x1b[1m", "\x1b[0m"};
}

}  // namespace

Log stderr_log(bool verbose) {
  const auto sink = [](LogLevel level, std::string_view text) {
    const char* prefix = level == LogLevel::kError ? "error: " : level == LogLevel::kWarning ? "warning: " : "";
    std::fprintf(stderr, "%s%.*s\n", prefix, static_cast<int>(text.size()), text.data());
  };
  return Log(sink, verbose ? LogLevel::kDebug : LogLevel::kWarning);
}

Style stderr_style() { return style(platform::stderr_is_terminal()); }
Style stdout_style() { return style(platform::stdout_is_terminal()); }

void ProgressBar::update(uint64_t done, uint64_t total) {
  if (!platform::stderr_is_terminal()) return;
  const auto now = std::chrono::steady_clock::now();
  if (visible_ && now - drawn_ < std::chrono::milliseconds(100) && done < total) return;
  drawn_ = now;
  visible_ = true;
  const double share = total == 0 ? 1.0 : static_cast<double>(done) / static_cast<double>(total);
  const std::string numbers = format_bytes(done) + " / " + format_bytes(total);
  const int width = std::clamp(platform::terminal_columns() - static_cast<int>(title_.size() + numbers.size()) - 16, 5, 40);
  const int filled = static_cast<int>(share * width);
  std::fprintf(stderr, "\r\x1b[K%s [%s%s] %3.0f %%  %s", title_.c_str(),
               std::string(static_cast<size_t>(filled), '=').c_str(),
               std::string(static_cast<size_t>(width - filled), ' ').c_str(), share * 100, numbers.c_str());
  std::fflush(stderr);
}

void ProgressBar::clear() {
  if (!visible_) return;
  std::fputs("\r\x1b[K", stderr);
  std::fflush(stderr);
  visible_ = false;
}

}  // namespace lahar::cli
