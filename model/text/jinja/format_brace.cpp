// format.format(...)
#include <algorithm>
#include <cmath>

#include "text/jinja/format.h"
#include "text/jinja/repr.h"
#include "text/jinja/unicode.h"

namespace lahar::jinja {

namespace {

Result<Layout> parse_spec(std::string_view spec) {
  Layout out;
  size_t i = 0;
  const auto peek = [&] { return i < spec.size() ? spec[i] : '\0'; };
  constexpr std::string_view kAligns = "<>=^";
  if (!spec.empty()) {
    const size_t first = decode(spec, 0).size;
    if (first < spec.size() && kAligns.find(spec[first]) != std::string_view::npos) {
      out.fill = std::string(spec.substr(0, first));
      out.align = spec[first];
      i = first + 1;
    } else if (kAligns.find(spec[0]) != std::string_view::npos) {
      out.align = spec[0];
      i = 1;
    }
  }
  if (peek() == '+' || peek() == '-' || peek() == ' ') out.sign = spec[i++];
  if (peek() == '#') {
    out.alternate = true;
    ++i;
  }
  if (peek() == '0' && out.align == 0) {
    out.fill = "0";
    out.align = '=';
    ++i;
  }
  const auto number = [&] {
    int64_t n = 0;
    for (; peek() >= '0' && peek() <= '9'; ++i) n = std::min<int64_t>(n * 10 + (spec[i] - '0'), int64_t{1} << 40);
    return n;
  };
  out.width = number();
  if (peek() == ',' || peek() == '_') out.grouping = spec[i++];
  if (peek() == '.') {
    ++i;
    if (peek() < '0' || peek() > '9') return value_error("Format specifier missing precision");
    out.precision = number();
  }
  if (i < spec.size()) out.type = spec[i++];
  if (i < spec.size()) return value_error("Invalid format specifier '" + std::string(spec) + "'");
  return out;
}

Result<Text> format_integer(Interp& in, const Value& value, Layout layout) {
  if (layout.precision >= 0) return value_error("Precision not allowed in integer format specifier");
  if (value.is(Kind::kBigInt)) {
    if (layout.type != 0 && layout.type != 'd') return limit_error("integer beyond 64 bits");
    return pad(in, value.text(), "", layout, '>');
  }
  const int64_t i = value.as_int();
  const char type = layout.type;
  const unsigned base = type == 'b' ? 2 : type == 'o' ? 8 : type == 'x' || type == 'X' ? 16 : 10;
  const std::string digits = format_magnitude(i, base, type == 'X', layout.grouping);
  std::string sign = i < 0 ? "-" : layout.sign == '-' ? "" : std::string(1, layout.sign);
  if (layout.alternate && base != 10) sign += std::string("0") + type;
  return pad(in, Text(digits, value.trusted()), sign, layout, '>');
}

Result<Text> format_value(Interp& in, const Value& value, std::string_view spec) {
  if (spec.empty()) return to_str(in, value);
  LAHAR_ASSIGN(const Layout layout, parse_spec(spec));
  const std::string unknown =
      std::string("Unknown format code '") + layout.type + "' for object of type '" + type_name(value) + "'";
  if (value.is_string()) {
    if (layout.type != 0 && layout.type != 's') return value_error(unknown);
    if (layout.align == '=') return value_error("'=' alignment not allowed in string format specifier");
    Text body = value.text();
    if (layout.precision >= 0) body = body.substr(0, byte_offset(body.view(), static_cast<size_t>(layout.precision)));
    return pad(in, body, "", layout, '<');
  }
  if (!value.number()) return type_error("unsupported format string passed to " + type_name(value) + ".__format__");
  constexpr std::string_view kFloats = "eEfFgG%", kIntegers = "bdoxXn";
  const bool as_float = layout.type != 0 && kFloats.find(layout.type) != std::string_view::npos;
  const bool as_integer = layout.type != 0 && kIntegers.find(layout.type) != std::string_view::npos;
  if (!value.is(Kind::kFloat) && !as_float) {
    if (layout.type == 'c' && value.integral() && value.as_int() >= 0 && value.as_int() <= 0x10FFFF) {
      std::string c;
      encode(static_cast<char32_t>(value.as_int()), c);
      return pad(in, Text(c, false), "", layout, '<');
    }
    if (layout.type != 0 && !as_integer) return value_error(unknown);
    return format_integer(in, value, layout);
  }
  if (layout.type != 0 && !as_float && layout.type != 'n') return value_error(unknown);
  const double d = value.as_double();
  const std::string sign = std::signbit(d) && !std::isnan(d) ? "-" : layout.sign == '-' ? "" : std::string(1, layout.sign);
  return pad(in, Text(format_float(std::fabs(d), layout), value.trusted()), sign, layout, '>');
}

class BraceFormatter {
 public:
  BraceFormatter(Interp& in, const Args& args) : in_(in), args_(args) {}
  Result<Text> run(const Text& format, int depth);

 private:
  Result<Value> look_up(std::string_view field);
  Result<Value> first(std::string_view name);

  Interp& in_;
  const Args& args_;
  size_t automatic_ = 0;
};

Result<Value> BraceFormatter::first(std::string_view name) {
  const bool number = !name.empty() && std::all_of(name.begin(), name.end(), [](char c) { return c >= '0' && c <= '9'; });
  if (name.empty() || number) {
    const size_t index = name.empty() ? automatic_++ : name.size() > 6 ? ~size_t{0} : std::stoul(std::string(name));
    if (index < args_.positional.size()) return args_.positional[index];
    return runtime_error("IndexError: Replacement index out of range for positional args tuple");
  }
  for (const auto& [key, value] : args_.named)
    if (key == name) return value;
  return runtime_error("KeyError: '" + std::string(name) + "'");
}

Result<Value> BraceFormatter::look_up(std::string_view field) {
  size_t i = std::min(field.find_first_of(".["), field.size());
  LAHAR_ASSIGN(Value value, first(field.substr(0, i)));
  while (i < field.size()) {
    LAHAR_TRY(in_.charge(1));
    if (field[i] == '.') {
      const size_t end = std::min(field.find_first_of(".[", i + 1), field.size());
      LAHAR_ASSIGN(value, get_attribute(in_, value, field.substr(i + 1, end - i - 1)));
      i = end;
    } else {
      const size_t end = field.find(']', i);
      if (field[i] != '[' || end == std::string_view::npos) return value_error("Missing ']' in format string");
      const std::string key(field.substr(i + 1, end - i - 1));
      const bool number = !key.empty() && key.size() < 10 && key.find_first_not_of("0123456789") == std::string::npos;
      LAHAR_ASSIGN(value, get_item(in_, value, number ? Value::integer(std::stol(key)) : Value::string(key)));
      i = end + 1;
    }
  }
  return value;
}

Result<Text> BraceFormatter::run(const Text& format, int depth) {
  if (depth > 2) return value_error("Max string recursion exceeded");
  const std::string& s = format.bytes();
  Text out;
  for (size_t i = 0; i < s.size();) {
    const size_t brace = std::min(s.find_first_of("{}", i), s.size());
    out.append(format, i, brace);
    i = brace;
    if (i >= s.size()) break;
    if (i + 1 < s.size() && s[i + 1] == s[i]) {
      out.append(format, i, i + 1);
      i += 2;
      continue;
    }
    if (s[i] == '}') return value_error("Single '}' encountered in format string");
    const size_t begin = ++i;
    int open = 1;
    for (; i < s.size() && open > 0; ++i) open += s[i] == '{' ? 1 : s[i] == '}' ? -1 : 0;
    if (open > 0) return value_error("expected '}' before end of string");
    const Text inside = format.substr(begin, i - 1);
    const size_t bracket = inside.view().find('[');
    size_t colon = inside.view().find(':');
    if (bracket < colon) colon = inside.view().find(':', std::min(inside.view().find(']', bracket), inside.size()));
    std::string_view field = inside.view().substr(0, colon);
    char conversion = 0;
    if (const size_t mark = field.find('!'); mark != std::string_view::npos) {
      if (mark + 2 != field.size()) return value_error("expected ':' after conversion specifier");
      conversion = field[mark + 1];
      field = field.substr(0, mark);
    }
    LAHAR_TRY(in_.charge(1));
    LAHAR_ASSIGN(Value value, look_up(field));
    Text spec;
    if (colon != std::string_view::npos) { LAHAR_ASSIGN(spec, run(inside.substr(colon + 1, inside.size()), depth + 1)); }
    if (conversion == 's') {
      LAHAR_ASSIGN(Text text, to_str(in_, value));
      value = Value::string(std::move(text));
    } else if (conversion == 'r' || conversion == 'a') {
      LAHAR_ASSIGN(Text text, to_repr(in_, value));
      value = Value::string(std::move(text));
    } else if (conversion != 0) {
      return value_error(std::string("Unknown conversion specifier ") + conversion);
    }
    LAHAR_ASSIGN(const Text text, format_value(in_, value, spec.view()));
    LAHAR_TRY(in_.check_size(out.size() + text.size()));
    out.append(text);
  }
  return out;
}

}  // namespace

Result<Value> brace_format(Interp& in, const Text& format, const Args& args) {
  LAHAR_ASSIGN(Text out, BraceFormatter(in, args).run(format, 1));
  return in.make_string(std::move(out));
}

}  // namespace lahar::jinja
