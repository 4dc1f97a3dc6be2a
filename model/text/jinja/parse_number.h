// Numbers as Python's int() and float() read them from text.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace lahar::jinja {

// Nothing for what is no integer of that base (2 to 36, or 0 for a prefix); too_large where it is one beyond 64 bits.
std::optional<int64_t> parse_integer(std::string_view text, int64_t base, bool& too_large);
std::optional<double> parse_float(std::string_view text);

}  // namespace lahar::jinja
