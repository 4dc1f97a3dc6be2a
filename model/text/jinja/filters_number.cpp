// Filters about numbers, and those that fit nowhere else.
#include <array>
#include <charconv>
#include <cmath>
#include <limits>

#include "text/jinja/filters.h"
#include "text/jinja/format.h"
#include "text/jinja/methods.h"
#include "text/jinja/parse_number.h"
#include "text/jinja/unicode.h"

namespace lahar::jinja {

namespace {

using Values = std::vector<Value>;

Result<Value> abs_filter(Interp&, const Value& input, Args& args) {
  LAHAR_TRY(bind(args, "abs", {}, 0));
  if (input.integral()) return input.as_int() < 0 ? negate(input) : positive(input);
  if (input.is(Kind::kFloat)) return Value::real(std::fabs(input.as_double()), input.trusted());
  if (input.is(Kind::kBigInt)) return input;
  return type_error("bad operand type for abs(): '" + type_name(input) + "'");
}

Result<Value> float_to_int(double d, bool trusted) {
  if (std::isinf(d)) return runtime_error("OverflowError: cannot convert float infinity to integer");
  if (std::fabs(d) >= 9223372036854775808.0) return limit_error("integer beyond 64 bits");
  return Value::integer(static_cast<int64_t>(d), trusted);
}

Result<Value> int_filter(Interp& in, const Value& input, Args& args) {
  LAHAR_ASSIGN(const Values a, bind(args, "int", {"default", "base"}, 0));
  const Value otherwise = a[0].missing() ? Value::integer(0) : a[0];
  LAHAR_ASSIGN(const int64_t base, int_argument(a[1], 10, "int"));
  if (input.undefined()) return undefined_error(input);
  if (input.integral()) return positive(input);
  if (input.is(Kind::kBigInt)) return input;
  if (input.is(Kind::kFloat))
    return std::isnan(input.as_double()) ? otherwise : float_to_int(input.as_double(), input.trusted());
  if (!input.is_string()) return otherwise;
  LAHAR_TRY(in.charge_bytes(input.text().size()));
  const bool trusted = input.text().all_trusted();
  bool too_large = false;
  if (const auto i = parse_integer(input.str(), base, too_large)) return Value::integer(*i, trusted);
  if (too_large) return limit_error("integer beyond 64 bits");
  const auto d = parse_float(input.str());
  if (!d || !std::isfinite(*d)) return otherwise;
  return float_to_int(*d, trusted);
}

Result<Value> float_filter(Interp& in, const Value& input, Args& args) {
  LAHAR_ASSIGN(const Values a, bind(args, "float", {"default"}, 0));
  const Value otherwise = a[0].missing() ? Value::real(0) : a[0];
  if (input.undefined()) return undefined_error(input);
  if (input.number()) return Value::real(input.as_double(), input.trusted());
  if (!input.is_string()) return otherwise;
  LAHAR_TRY(in.charge_bytes(input.text().size()));
  const auto d = parse_float(input.str());
  return d ? Value::real(*d, input.text().all_trusted()) : otherwise;
}

// Python's round(): to the nearest, the exact halves to the even digit.
double round_to(double value, int64_t digits) {
  if (!std::isfinite(value) || digits > 330) return value;
  if (digits < -330) return std::copysign(0.0, value);
  if (digits < 0) {
    const double scale = std::pow(10.0, static_cast<double>(-digits));
    return std::isfinite(scale) ? std::nearbyint(value / scale) * scale : 0.0;
  }
  const std::string text = format_float(std::fabs(value), {.precision = digits, .type = 'f'});
  double rounded = 0;
  std::from_chars(text.data(), text.data() + text.size(), rounded);
  return std::copysign(rounded, value);
}

Result<Value> round_filter(Interp&, const Value& input, Args& args) {
  LAHAR_ASSIGN(const Values a, bind(args, "round", {"precision", "method"}, 0));
  LAHAR_ASSIGN(const int64_t precision, int_argument(a[0], 0, "round"));
  const std::string method = a[1].missing() ? "common" : a[1].is_string() ? a[1].str() : "";
  if (method != "common" && method != "ceil" && method != "floor") {
    return runtime_error("FilterArgumentError: method must be common, ceil or floor");
  }
  if (!input.number()) return type_error("type " + type_name(input) + " doesn't define __round__ method");
  if (method == "common") {
    if (input.is(Kind::kFloat)) return Value::real(round_to(input.as_double(), precision), input.trusted());
    if (precision >= 0 || input.is(Kind::kBigInt)) return input.is(Kind::kBigInt) ? Result<Value>(input) : positive(input);
    if (precision < -18) return Value::integer(0, input.trusted());
    int64_t scale = 1;
    for (int64_t i = 0; i < -precision; ++i) scale *= 10;
    const __int128 value = input.as_int();
    __int128 low = value / scale * scale;
    if (value < low) low -= scale;
    const __int128 rest = value - low;
    const bool up = rest * 2 > scale || (rest * 2 == scale && low / scale % 2 != 0);
    const __int128 rounded = up ? low + scale : low;
    if (rounded > std::numeric_limits<int64_t>::max() || rounded < std::numeric_limits<int64_t>::min()) {
      return limit_error("integer beyond 64 bits");
    }
    return Value::integer(static_cast<int64_t>(rounded), input.trusted());
  }
  const double scale = std::pow(10.0, static_cast<double>(precision));
  const double scaled = input.as_double() * scale;
  if (!std::isfinite(scaled)) return runtime_error("OverflowError: cannot convert float to integer");
  return Value::real((method == "ceil" ? std::ceil(scaled) : std::floor(scaled)) / scale, input.trusted());
}

Result<Value> filesizeformat(Interp& in, const Value& input, Args& args) {
  LAHAR_ASSIGN(const Values a, bind(args, "filesizeformat", {"binary"}, 0));
  Args not_a_number;
  not_a_number.positional.push_back(Value::none());
  LAHAR_ASSIGN(const Value number, float_filter(in, input, not_a_number));
  if (number.none_value()) return value_error("could not convert to float: a " + type_name(input));
  const bool binary = truthy(a[0]);
  const double bytes = number.as_double(), base = binary ? 1024 : 1000;
  std::string out;
  if (bytes == 1) {
    out = "1 Byte";
  } else if (!(bytes >= base)) {
    out = format_float(std::fabs(std::trunc(bytes)), {.precision = 0, .type = 'f'}) + " Bytes";
    if (bytes <= -1) out = "-" + out;
  } else {
    constexpr std::string_view kPrefixes = "kMGTPEZY";
    double unit = base;
    size_t i = 0;
    do {
      unit *= base;
      if (bytes < unit) break;
    } while (++i < kPrefixes.size() - 1);
    std::string prefix(1, kPrefixes[i]);
    if (binary) prefix = (i == 0 ? "K" : prefix) + "i";
    out = format_float(base * bytes / unit, {.precision = 1, .type = 'f'}) + " " + prefix + "B";
  }
  return in.make_string(Text(std::move(out), number.trusted()));
}

Result<Value> default_filter(Interp&, const Value& input, Args& args) {
  LAHAR_ASSIGN(const Values a, bind(args, "default", {"default_value", "boolean"}, 0));
  if (input.undefined() || (truthy(a[1]) && !truthy(input))) return a[0].missing() ? Value::string("") : a[0];
  return input;
}

Result<Value> attr_filter(Interp& in, const Value& input, Args& args) {
  LAHAR_ASSIGN(const Values a, bind(args, "attr", {"name"}, 1));
  if (input.undefined()) return undefined_error(input);
  LAHAR_ASSIGN(const Text name, text_argument(a[0], "attribute name"));
  LAHAR_ASSIGN(Value value, attribute_only(in, input, name.view()));
  if (!value.missing()) return value;
  return Value::undefined("'" + type_name(input) + " object' has no attribute '" + name.bytes() + "'");
}

Result<Value> random_filter(Interp&, const Value&, Args&) {
  return runtime_error("TemplateRuntimeError: random is not supported in chat templates");
}

constexpr std::array<FilterEntry, 9> kFilters = {{{"abs", abs_filter},
                                                  {"int", int_filter},
                                                  {"float", float_filter},
                                                  {"round", round_filter},
                                                  {"filesizeformat", filesizeformat},
                                                  {"default", default_filter},
                                                  {"d", default_filter},
                                                  {"attr", attr_filter},
                                                  {"random", random_filter}}};

}  // namespace

std::span<const FilterEntry> number_filters() { return kFilters; }

}  // namespace lahar::jinja
