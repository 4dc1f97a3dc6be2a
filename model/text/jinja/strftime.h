// Dates as C's strftime writes them in the C locale, whatever the locale of the process.
#pragma once

#include <ctime>
#include <optional>
#include <string>
#include <string_view>

namespace lahar::jinja {

std::string format_time(std::string_view format, const std::tm& time);
// "YYYY-MM-DDTHH:MM:SS", the time or its seconds may be missing; nothing for what is no date.
std::optional<std::tm> parse_time(std::string_view text);

}  // namespace lahar::jinja
