// What the user sees on stderr: the log, a progress bar, colours where the terminal wants them.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

#include "core/log.h"

namespace lahar::cli {

// Lines on stderr; `verbose` shows everything, else warnings and errors.
Log stderr_log(bool verbose);

// Escape sequences, empty where stderr (stdout for the second) is no terminal or NO_COLOR is set.
struct Style {
  std::string_view dim, bold, reset;
};
Style stderr_style();
Style stdout_style();

// "[=====>     ] 45 %  120 / 270 MiB" on one line of stderr that is redrawn ten times a second and wiped at the end. Draws
// nothing where stderr is no terminal.
class ProgressBar {
 public:
  explicit ProgressBar(std::string title) : title_(std::move(title)) {}
  ~ProgressBar() { clear(); }
  void update(uint64_t done, uint64_t total);
  void clear();

 private:
  std::string title_;
  std::chrono::steady_clock::time_point drawn_{};
  bool visible_ = false;
};

}  // namespace lahar::cli
