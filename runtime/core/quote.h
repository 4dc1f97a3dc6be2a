// Text of files inside messages.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace lahar {

// `text` in single quotes, fit for a one-line message: bytes that are not printable ASCII become \xNN, and what is longer
// than `limit` bytes is cut, with "..." in its place.
std::string quote(std::string_view text, size_t limit = 80);

}  // namespace lahar
