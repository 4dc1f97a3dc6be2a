#include "text/jinja/repr.h"

#include <charconv>
#include <cmath>

#include "text/jinja/unicode.h"

namespace lahar::jinja {

std::string float_repr(double value) {
  if (std::isnan(value)) return "nan";
  if (std::isinf(value)) return value < 0 ? "-inf" : "inf";
  char buffer[64];
  // digits "d.ddde[+-]xx"
  const auto end = std::to_chars(buffer, buffer + sizeof buffer, value, std::chars_format::scientific).ptr;
  std::string text(buffer, end);
  const size_t e = text.find('e');
  int exponent = 0;
  std::from_chars(text.data() + e + (text[e + 1] == '+' ? 2 : 1), text.data() + text.size(), exponent);
  std::string sign, digits;
  for (size_t i = 0; i < e; ++i) {
    if (text[i] == '-') sign = "-";
    if (text[i] >= '0' && text[i] <= '9') digits += text[i];
  }
  if (exponent < -4 || exponent >= 16) {
    std::string out = sign + digits[0];
    if (digits.size() > 1) out += "." + digits.substr(1);
    const std::string magnitude = std::to_string(std::abs(exponent));
    return out + (exponent < 0 ? "e-" : "e+") + (magnitude.size() < 2 ? "0" : "") + magnitude;
  }
  if (exponent < 0) return sign + "0." + std::string(static_cast<size_t>(-exponent - 1), '0') + digits;
  const auto whole = static_cast<size_t>(exponent) + 1;
  if (digits.size() <= whole) return sign + digits + std::string(whole - digits.size(), '0') + ".0";
  return sign + digits.substr(0, whole) + "." + digits.substr(whole);
}

namespace {

constexpr uint32_t kMaxReprDepth = 200;

void string_repr(std::string_view text, std::string& out) {
  const char quote = text.find('\'') != std::string_view::npos && text.find('"') == std::string_view::npos ? '"' : '\'';
  out += quote;
  constexpr char kHex[] = "0123456789abcdef";
  const auto hex = [&](char32_t value, int digits) {
    for (int i = digits - 1; i >= 0; --i) out += kHex[value >> (4 * i) & 15];
  };
  for (size_t i = 0; i < text.size();) {
    const CodePoint c = decode(text, i);
    if (c.value == static_cast<char32_t>(quote) || c.value == '\\') {
      out += '\\';
      out += static_cast<char>(c.value);
    } else if (c.value == '\n') {
      out += "\\n";
    } else if (c.value == '\r') {
      out += "\\r";
    } else if (c.value == '\t') {
      out += "\\t";
    } else if (is(c.value, kPrintable)) {
      out += text.substr(i, c.size);
    } else if (c.value < 0x100) {
      out += "\\x";
      hex(c.value, 2);
    } else if (c.value < 0x10000) {
      out += "\\u";
      hex(c.value, 4);
    } else {
      out += "\\U";
      hex(c.value, 8);
    }
    i += c.size;
  }
  out += quote;
}

class Repr {
 public:
  explicit Repr(Interp& in) : in_(in) {}
  Status add(const Value& value);
  std::string out;

 private:
  Status items(const Value& value, const char* open, const char* close);
  Status entries(const DictObj& dict);

  Interp& in_;
  uint32_t depth_ = 0;
};

Status Repr::items(const Value& value, const char* open, const char* close) {
  out += open;
  bool first = true;
  for (const Value& item : value.items()) {
    if (!first) out += ", ";
    first = false;
    LAHAR_TRY(add(item));
  }
  out += close;
  return {};
}

Status Repr::entries(const DictObj& dict) {
  out += "{";
  bool first = true;
  for (const auto& [key, value] : dict.entries) {
    if (!first) out += ", ";
    first = false;
    LAHAR_TRY(add(key));
    out += ": ";
    LAHAR_TRY(add(value));
  }
  out += "}";
  return {};
}

Status Repr::add(const Value& value) {
  LAHAR_TRY(in_.charge(1));
  LAHAR_TRY(in_.check_size(out.size()));
  if (depth_ > kMaxReprDepth) return limit_error("the template prints a value nested too deep");
  ++depth_;
  struct Leave {
    uint32_t& depth;
    ~Leave() { --depth; }
  } leave{depth_};
  switch (value.kind()) {
    case Kind::kMissing:
    case Kind::kUndefined: out += "Undefined"; return {};
    case Kind::kNone: out += "None"; return {};
    case Kind::kBool: out += value.as_bool() ? "True" : "False"; return {};
    case Kind::kInt: out += std::to_string(value.as_int()); return {};
    case Kind::kBigInt: out += value.str(); return {};
    case Kind::kFloat: out += float_repr(value.as_double()); return {};
    case Kind::kString:
      LAHAR_TRY(in_.charge_bytes(value.text().size()));
      if (value.markup()) out += "Markup(";
      string_repr(value.str(), out);
      if (value.markup()) out += ")";
      return {};
    case Kind::kDict: return entries(value.dict());
    case Kind::kRange: {
      const RangeObj& r = value.range();
      out += "range(" + std::to_string(r.start) + ", " + std::to_string(r.stop);
      if (r.step != 1) out += ", " + std::to_string(r.step);
      out += ")";
      return {};
    }
    case Kind::kNamespace:
      out += "<Namespace ";
      LAHAR_TRY(entries(value.ns().attributes));
      out += ">";
      return {};
    case Kind::kCallable: out += value.callable().describe(); return {};
    case Kind::kIter: out += std::string("<") + value.iter().type_name + " object>"; return {};
    case Kind::kObject: out += std::string("<") + value.object().type_name() + ">"; return {};
    case Kind::kSeq: break;
  }
  switch (value.seq().kind) {
    case SeqKind::kList: return items(value, "[", "]");
    case SeqKind::kKeys: return items(value, "dict_keys([", "])");
    case SeqKind::kValues: return items(value, "dict_values([", "])");
    case SeqKind::kItems: return items(value, "dict_items([", "])");
    default: return items(value, "(", value.items().size() == 1 ? ",)" : ")");
  }
}

}  // namespace

Result<Text> to_repr(Interp& in, const Value& value) {
  Repr repr(in);
  LAHAR_TRY(repr.add(value));
  LAHAR_TRY(in.check_size(repr.out.size()));
  return Text(std::move(repr.out), all_trusted(value));
}

Result<Text> to_str(Interp& in, const Value& value) {
  if (value.is_string()) return value.text();
  if (value.undefined() || value.missing()) return Text();
  return to_repr(in, value);
}

}  // namespace lahar::jinja
