#include "text/jinja/parse_number.h"

#include <charconv>
#include <limits>
#include <string>

#include "text/jinja/unicode.h"

namespace lahar::jinja {

namespace {

std::string_view trimmed(std::string_view s) {
  while (!s.empty() && is(decode(s, 0).value, kSpace)) s.remove_prefix(decode(s, 0).size);
  while (!s.empty() && static_cast<unsigned char>(s.back()) < 0x80 && is(static_cast<unsigned char>(s.back()), kSpace)) {
    s.remove_suffix(1);
  }
  return s;
}

// Without single underscores between digits; nothing where they stand elsewhere.
std::optional<std::string> without_underscores(std::string_view s) {
  const auto alnum = [](char c) { return (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z'); };
  std::string out;
  for (size_t i = 0; i < s.size(); ++i) {
    if (s[i] != '_') {
      out += s[i];
    } else if (i == 0 || i + 1 >= s.size() || !alnum(s[i - 1]) || !alnum(s[i + 1])) {
      return std::nullopt;
    }
  }
  return out;
}

bool take_sign(std::string& s) {
  const bool negative = s.starts_with('-');
  if (negative || s.starts_with('+')) s.erase(0, 1);
  return negative;
}

}  // namespace

std::optional<int64_t> parse_integer(std::string_view text, int64_t base, bool& too_large) {
  too_large = false;
  if (base != 0 && (base < 2 || base > 36)) return std::nullopt;
  auto digits = without_underscores(trimmed(text));
  if (!digits) return std::nullopt;
  const bool negative = take_sign(*digits);
  if (digits->size() > 2 && (*digits)[0] == '0') {
    const char letter = static_cast<char>((*digits)[1] | 0x20);
    const int64_t prefix = letter == 'x' ? 16 : letter == 'o' ? 8 : letter == 'b' ? 2 : 0;
    if (prefix != 0 && (base == 0 || base == prefix)) {
      base = prefix;
      digits->erase(0, 2);
    }
  }
  if (base == 0) base = 10;
  uint64_t value = 0;
  const auto [end, error] = std::from_chars(digits->data(), digits->data() + digits->size(), value, static_cast<int>(base));
  if (end != digits->data() + digits->size() || digits->empty()) return std::nullopt;
  const uint64_t limit = static_cast<uint64_t>(std::numeric_limits<int64_t>::max()) + (negative ? 1 : 0);
  too_large = error == std::errc::result_out_of_range || value > limit;
  if (too_large || error != std::errc()) return std::nullopt;
  return static_cast<int64_t>(negative ? 0 - value : value);
}

std::optional<double> parse_float(std::string_view text) {
  auto digits = without_underscores(trimmed(text));
  if (!digits) return std::nullopt;
  const bool negative = take_sign(*digits);
  if (digits->empty()) return std::nullopt;
  std::string lower = *digits;
  for (char& c : lower) c = static_cast<char>(c >= 'A' && c <= 'Z' ? c + 32 : c);
  double value = 0;
  if (lower == "inf" || lower == "infinity") {
    value = std::numeric_limits<double>::infinity();
  } else if (lower == "nan") {
    value = std::numeric_limits<double>::quiet_NaN();
  } else {
    if (lower[0] == '-' || lower.find_first_not_of("0123456789.e+-") != std::string::npos) return std::nullopt;
    const auto [end, error] = std::from_chars(lower.data(), lower.data() + lower.size(), value);
    if (end != lower.data() + lower.size()) return std::nullopt;
    if (error == std::errc::result_out_of_range) {
      const size_t e = lower.find("e-");
      value = e != std::string::npos ? 0.0 : std::numeric_limits<double>::infinity();
    } else if (error != std::errc()) {
      return std::nullopt;
    }
  }
  return negative ? -value : value;
}

}  // namespace lahar::jinja
