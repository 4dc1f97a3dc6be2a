// The layout of numbers and texts that both ways of formatting share.
#include <algorithm>
#include <cmath>
#include <cstdio>

#include "text/jinja/format.h"
#include "text/jinja/repr.h"
#include "text/jinja/unicode.h"

namespace lahar::jinja {

namespace {

// Puts the separator between groups of three digits before the point.
std::string grouped(const std::string& text, char separator) {
  const size_t whole = std::min(text.find_first_not_of("0123456789"), text.size());
  std::string out;
  for (size_t i = 0; i < whole; ++i) {
    if (i > 0 && (whole - i) % 3 == 0) out += separator;
    out += text[i];
  }
  return out + text.substr(whole);
}

}  // namespace

std::string format_float(double magnitude, const Layout& layout) {
  const char kind = static_cast<char>(layout.type | 0x20);
  const bool upper = layout.type >= 'A' && layout.type <= 'Z';
  std::string out;
  if (!std::isfinite(magnitude)) {
    out = std::isnan(magnitude) ? "nan" : "inf";
    if (layout.type == '%') out += '%';
  } else if (layout.type == 0 && layout.precision < 0) {
    out = float_repr(magnitude);
  } else {
    const int precision = layout.precision < 0 ? 6 : static_cast<int>(std::min<int64_t>(layout.precision, 1000));
    const double value = layout.type == '%' ? magnitude * 100 : magnitude;
    const char conversion = layout.type == '%' ? 'f' : layout.type == 0 || kind == 'n' ? 'g' : kind;
    const char spec[] = {'%',
                         layout.alternate ? '#' : '.',
                         layout.alternate ? '.' : '*',
                         layout.alternate ? '*' : conversion,
                         layout.alternate ? conversion : '\0',
                         '\0'};
    const int size = std::snprintf(nullptr, 0, spec, precision, value);
    out.resize(static_cast<size_t>(size) + 1);
    std::snprintf(out.data(), out.size(), spec, precision, value);
    out.pop_back();
    std::replace(out.begin(), out.end(), ',', '.');  // whatever the locale of the process writes
    if (layout.type == 0 && out.find_first_of(".e") == std::string::npos) out += ".0";
    if (layout.type == '%') out += '%';
  }
  if (upper) std::transform(out.begin(), out.end(), out.begin(), [](char c) { return c >= 'a' && c <= 'z' ? c - 32 : c; });
  return layout.grouping != 0 ? grouped(out, layout.grouping) : out;
}

std::string format_magnitude(int64_t value, unsigned base, bool upper, char separator) {
  uint64_t rest = value < 0 ? 0 - static_cast<uint64_t>(value) : static_cast<uint64_t>(value);
  const int group = base == 10 ? 3 : 4;
  std::string out;
  int n = 0;
  do {
    if (separator != 0 && n > 0 && n % group == 0) out += separator;
    const auto digit = static_cast<char>(rest % base);
    out += static_cast<char>(digit < 10 ? '0' + digit : (upper ? 'A' : 'a') + digit - 10);
    rest /= base;
    ++n;
  } while (rest != 0);
  std::reverse(out.begin(), out.end());
  return out;
}

Result<Text> pad(Interp& in, const Text& body, std::string_view sign, const Layout& layout, char default_align) {
  const bool trusted = body.all_trusted();
  const auto length = static_cast<int64_t>(code_points(body.view()) + sign.size());
  const int64_t space = std::max<int64_t>(layout.width - length, 0);
  LAHAR_TRY(
      in.check_size(static_cast<uint64_t>(std::min<int64_t>(space, int64_t{1} << 50)) * layout.fill.size() + body.size()));
  LAHAR_TRY(in.charge_bytes(static_cast<uint64_t>(space)));
  const char align = layout.align != 0 ? layout.align : default_align;
  const int64_t left = align == '>' || align == '=' ? space : align == '^' ? space / 2 : 0;
  std::string before, after;
  for (int64_t i = 0; i < left; ++i) before += layout.fill;
  for (int64_t i = left; i < space; ++i) after += layout.fill;
  Text out;
  if (align == '=') {
    out.append(sign, trusted);
    out.append(before, trusted);
  } else {
    out.append(before, trusted);
    out.append(sign, trusted);
  }
  out.append(body);
  out.append(after, trusted);
  return out;
}

Text escape_html(const Text& text) {
  Text out;
  size_t done = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    const char* put = nullptr;
    switch (text.bytes()[i]) {
      case '&': put = "&amp;"; break;
      case '<': put = "&lt;"; break;
      case '>': put = "&gt;"; break;
      case '\'': put = "&#39;"; break;
      case '"': put = "&#34;"; break;
      default: continue;
    }
    out.append(text, done, i);
    out.append(put, text.trusted_at(i));
    done = i + 1;
  }
  out.append(text, done, text.size());
  return out;
}

}  // namespace lahar::jinja
