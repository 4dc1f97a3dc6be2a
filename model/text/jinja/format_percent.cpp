// format % values
#include <algorithm>
#include <cmath>

#include "text/jinja/format.h"
#include "text/jinja/repr.h"
#include "text/jinja/unicode.h"

namespace lahar::jinja {

namespace {

class PercentFormatter {
 public:
  PercentFormatter(Interp& in, const Text& format, const Value& values) : in_(in), format_(format), values_(values) {}
  Result<Text> run();

 private:
  Status field();
  Result<Value> argument();
  Result<int64_t> digits_or_star();
  Result<Text> convert(char type, Layout& layout, const Value& value);
  Result<Text> integer(char type, Layout& layout, const Value& value);
  char peek() const { return at_ < format_.size() ? format_.bytes()[at_] : '\0'; }

  Interp& in_;
  const Text& format_;
  const Value& values_;
  size_t at_ = 0;
  size_t used_ = 0;
  const Value* mapped_ = nullptr;
  bool named_ = false;
  Text out_;
};

Result<Value> PercentFormatter::argument() {
  if (mapped_ != nullptr) {
    const Value value = *mapped_;
    mapped_ = nullptr;
    return value;
  }
  if (values_.is_seq(SeqKind::kTuple)) {
    if (used_ < values_.items().size()) return values_.items()[used_++];
  } else if (used_++ == 0) {
    return values_;
  }
  return type_error("not enough arguments for format string");
}

Result<int64_t> PercentFormatter::digits_or_star() {
  if (peek() == '*') {
    ++at_;
    LAHAR_ASSIGN(const Value value, argument());
    if (!value.integral()) return type_error("* wants int");
    return value.as_int();
  }
  int64_t n = 0;
  for (; peek() >= '0' && peek() <= '9'; ++at_) n = std::min<int64_t>(n * 10 + (peek() - '0'), int64_t{1} << 40);
  return n;
}

Result<Text> PercentFormatter::integer(char type, Layout& layout, const Value& value) {
  const bool decimal = type == 'd' || type == 'i' || type == 'u';
  if (value.undefined()) return undefined_error(value);
  if (!value.number() || (!decimal && value.is(Kind::kFloat))) {
    return type_error(std::string("%") + type + " format: " + (decimal ? "a real number" : "an integer") +
                      " is required, not " + type_name(value));
  }
  const bool trusted = value.trusted();
  std::string digits, sign;
  if (value.is(Kind::kBigInt) && decimal) {
    digits = value.str();
  } else {
    int64_t i = value.integral() ? value.as_int() : 0;
    if (!value.integral()) {
      const double d = value.as_double();
      if (!std::isfinite(d)) return value_error("cannot convert float NaN or infinity to integer");
      if (std::fabs(d) >= 9.2e18) return limit_error("integer beyond 64 bits");
      i = static_cast<int64_t>(d);
    }
    if (i < 0) sign = "-";
    digits = format_magnitude(i, type == 'o' ? 8 : decimal ? 10 : 16, type == 'X', 0);
  }
  if (layout.precision > static_cast<int64_t>(digits.size())) {
    LAHAR_TRY(in_.check_size(static_cast<uint64_t>(layout.precision)));
    digits.insert(0, static_cast<size_t>(layout.precision) - digits.size(), '0');
  }
  if (sign.empty() && layout.sign != '-') sign = layout.sign;
  if (layout.alternate && !decimal) sign += type == 'o' ? "0o" : type == 'x' ? "0x" : "0X";
  return pad(in_, Text(digits, trusted), sign, layout, '>');
}

Result<Text> PercentFormatter::convert(char type, Layout& layout, const Value& value) {
  Text body;
  switch (type) {
    case 'd':
    case 'i':
    case 'u':
    case 'x':
    case 'X':
    case 'o': return integer(type, layout, value);
    case 'e':
    case 'E':
    case 'f':
    case 'F':
    case 'g':
    case 'G': {
      if (value.undefined()) return undefined_error(value);
      if (!value.number()) return type_error("must be real number, not " + type_name(value));
      const double d = value.as_double();
      layout.type = type;
      std::string sign = std::signbit(d) && !std::isnan(d) ? "-" : layout.sign == '-' ? "" : std::string(1, layout.sign);
      return pad(in_, Text(format_float(std::fabs(d), layout), value.trusted()), sign, layout, '>');
    }
    case 'c':
      if (value.integral() && value.as_int() >= 0 && value.as_int() <= 0x10FFFF) {
        std::string c;
        encode(static_cast<char32_t>(value.as_int()), c);
        body = Text(c, false);
      } else if (value.is_string() && code_points(value.str()) == 1) {
        body = value.text();
      } else {
        return type_error("%c requires int or char");
      }
      break;
    case 's': {
      LAHAR_ASSIGN(body, to_str(in_, value));
      break;
    }
    case 'r':
    case 'a': {
      LAHAR_ASSIGN(body, to_repr(in_, value));
      break;
    }
    default: return value_error(std::string("unsupported format character '") + type + "'");
  }
  if (layout.precision >= 0) body = body.substr(0, byte_offset(body.view(), static_cast<size_t>(layout.precision)));
  layout.fill = " ";
  if (layout.align == '=') layout.align = '>';
  return pad(in_, body, "", layout, '>');
}

Status PercentFormatter::field() {
  Layout layout;
  if (peek() == '(') {
    const size_t begin = ++at_;
    int open = 1;
    for (; at_ < format_.size() && open > 0; ++at_) open += peek() == '(' ? 1 : peek() == ')' ? -1 : 0;
    if (open > 0) return value_error("incomplete format key");
    if (!values_.is(Kind::kDict)) return type_error("format requires a mapping");
    const std::string key = format_.bytes().substr(begin, at_ - 1 - begin);
    mapped_ = values_.dict().find(key);
    if (mapped_ == nullptr) return runtime_error("KeyError: '" + key + "'");
    named_ = true;
  }
  bool left = false, zero = false;
  for (bool flag = true; flag;) {
    switch (peek()) {
      case '-': left = true; break;
      case '+': layout.sign = '+'; break;
      case ' ': layout.sign = layout.sign == '+' ? '+' : ' '; break;
      case '#': layout.alternate = true; break;
      case '0': zero = true; break;
      default: flag = false;
    }
    if (flag) ++at_;
  }
  LAHAR_ASSIGN(layout.width, digits_or_star());
  if (layout.width < 0) {
    left = true;
    layout.width = layout.width == std::numeric_limits<int64_t>::min() ? std::numeric_limits<int64_t>::max() : -layout.width;
  }
  if (peek() == '.') {
    ++at_;
    LAHAR_ASSIGN(layout.precision, digits_or_star());
    layout.precision = std::max<int64_t>(layout.precision, 0);
  }
  while (peek() == 'h' || peek() == 'l' || peek() == 'L') ++at_;
  if (at_ >= format_.size()) return value_error("incomplete format");
  const char type = peek();
  ++at_;
  if (type == '%') {
    out_.append(format_, at_ - 1, at_);
    return {};
  }
  layout.align = left ? '<' : zero ? '=' : '>';
  if (zero && !left) layout.fill = "0";
  LAHAR_ASSIGN(const Value value, argument());
  LAHAR_ASSIGN(const Text text, convert(type, layout, value));
  out_.append(text);
  return in_.check_size(out_.size());
}

Result<Text> PercentFormatter::run() {
  while (at_ < format_.size()) {
    const size_t sign = std::min(format_.bytes().find('%', at_), format_.size());
    out_.append(format_, at_, sign);
    at_ = sign + 1;
    if (sign < format_.size()) {
      LAHAR_TRY(in_.charge(1));
      LAHAR_TRY(field());
    }
  }
  const bool is_tuple = values_.is_seq(SeqKind::kTuple);
  const bool mapping =
      named_ || values_.undefined() || values_.is(Kind::kDict) || values_.is_seq(SeqKind::kList) || values_.is(Kind::kRange);
  if (is_tuple ? used_ < values_.items().size() : used_ == 0 && !mapping) {
    return type_error("not all arguments converted during string formatting");
  }
  return out_;
}

}  // namespace

Result<Value> percent_format(Interp& in, const Value& format, const Value& values) {
  const Text& text = format.text();
  LAHAR_ASSIGN(Text out, PercentFormatter(in, text, values).run());
  return in.make_string(std::move(out), format.markup());
}

}  // namespace lahar::jinja
