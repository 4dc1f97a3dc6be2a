// Arithmetic.
#include <cmath>
#include <limits>

#include "text/jinja/format.h"
#include "text/jinja/interp.h"
#include "text/jinja/repr.h"

namespace lahar::jinja {

namespace {

const char* op_name(Op op) {
  switch (op) {
    case Op::kAdd: return "+";
    case Op::kSub: return "-";
    case Op::kMul: return "*";
    case Op::kDiv: return "/";
    case Op::kFloorDiv: return "//";
    case Op::kMod: return "%";
    default: return "** or pow()";
  }
}

Error too_large() { return limit_error("integer beyond 64 bits"); }
Error zero_division(const char* what) { return runtime_error(std::string("ZeroDivisionError: ") + what); }

Error unsupported(Op op, const Value& a, const Value& b) {
  if (op == Op::kAdd && a.is_string()) return type_error("can only concatenate str (not \"" + type_name(b) + "\") to str");
  if (op == Op::kAdd && (a.is_seq(SeqKind::kList) || a.is_seq(SeqKind::kTuple))) {
    return type_error("can only concatenate " + type_name(a) + " (not \"" + type_name(b) + "\") to " + type_name(a));
  }
  return type_error("unsupported operand type(s) for " + std::string(op_name(op)) + ": '" + type_name(a) + "' and '" +
                    type_name(b) + "'");
}

Result<Value> integer_power(int64_t base, int64_t exponent, bool trusted) {
  if (exponent < 0) {
    if (base == 0) return zero_division("0.0 cannot be raised to a negative power");
    return Value::real(std::pow(static_cast<double>(base), static_cast<double>(exponent)), trusted);
  }
  int64_t result = 1;
  while (exponent > 0) {
    if ((exponent & 1) != 0 && __builtin_mul_overflow(result, base, &result)) return too_large();
    exponent >>= 1;
    if (exponent > 0 && __builtin_mul_overflow(base, base, &base)) return too_large();
  }
  return Value::integer(result, trusted);
}

Result<Value> integers(Op op, int64_t a, int64_t b, bool trusted) {
  int64_t result = 0;
  switch (op) {
    case Op::kAdd:
      if (__builtin_add_overflow(a, b, &result)) return too_large();
      break;
    case Op::kSub:
      if (__builtin_sub_overflow(a, b, &result)) return too_large();
      break;
    case Op::kMul:
      if (__builtin_mul_overflow(a, b, &result)) return too_large();
      break;
    case Op::kDiv:
      if (b == 0) return zero_division("division by zero");
      return Value::real(static_cast<double>(a) / static_cast<double>(b), trusted);
    case Op::kFloorDiv:
    case Op::kMod: {
      if (b == 0) return zero_division(op == Op::kMod ? "integer modulo by zero" : "integer division or modulo by zero");
      if (b == -1) {  // the one divisor that overflows
        if (op == Op::kMod) break;
        if (__builtin_sub_overflow(int64_t{0}, a, &result)) return too_large();
        break;
      }
      const bool round_down = a % b != 0 && (a < 0) != (b < 0);
      result = op == Op::kMod ? a % b + (round_down ? b : 0) : a / b - (round_down ? 1 : 0);
      break;
    }
    default: return integer_power(a, b, trusted);
  }
  return Value::integer(result, trusted);
}

Result<Value> floats(Op op, double a, double b, bool trusted) {
  switch (op) {
    case Op::kAdd: return Value::real(a + b, trusted);
    case Op::kSub: return Value::real(a - b, trusted);
    case Op::kMul: return Value::real(a * b, trusted);
    case Op::kDiv:
      if (b == 0) return zero_division("float division by zero");
      return Value::real(a / b, trusted);
    case Op::kFloorDiv:
    case Op::kMod: {
      if (b == 0) return zero_division(op == Op::kMod ? "float modulo" : "float floor division by zero");
      double rest = std::fmod(a, b);
      double quotient = (a - rest) / b;
      if (rest != 0 && (b < 0) != (rest < 0)) {
        rest += b;
        quotient -= 1;
      } else if (rest == 0) {
        rest = std::copysign(0.0, b);
      }
      if (op == Op::kMod) return Value::real(rest, trusted);
      if (quotient == 0) return Value::real(std::copysign(0.0, a / b), trusted);
      const double whole = std::floor(quotient);
      return Value::real(quotient - whole > 0.5 ? whole + 1 : whole, trusted);
    }
    default: {
      if (a == 0 && b < 0) return zero_division("0.0 cannot be raised to a negative power");
      const double power = std::pow(a, b);
      if (std::isinf(power) && std::isfinite(a) && std::isfinite(b)) {
        return runtime_error("OverflowError: (34, 'Numerical result out of range')");
      }
      if (std::isnan(power) && !std::isnan(a) && !std::isnan(b)) return value_error("complex numbers are not supported");
      return Value::real(power, trusted);
    }
  }
}

Result<Value> repeat(Interp& in, const Value& what, const Value& times) {
  const uint64_t n = times.as_int() > 0 ? static_cast<uint64_t>(times.as_int()) : 0;
  if (what.is_string()) {
    const Text& text = what.text();
    uint64_t bytes = 0;
    if (__builtin_mul_overflow(n, static_cast<uint64_t>(text.size()), &bytes)) bytes = std::numeric_limits<uint64_t>::max();
    LAHAR_TRY(in.check_size(bytes));
    LAHAR_TRY(in.charge_bytes(bytes));
    Text out;
    for (uint64_t i = 0; i < n && !text.empty(); ++i) out.append(text);
    return in.make_string(std::move(out), what.markup());
  }
  uint64_t count = 0;
  if (__builtin_mul_overflow(n, static_cast<uint64_t>(what.items().size()), &count))
    count = std::numeric_limits<uint64_t>::max();
  LAHAR_TRY(in.check_items(count));
  std::vector<Value> items;
  items.reserve(count);
  for (uint64_t i = 0; i < count; ++i) items.push_back(what.items()[i % what.items().size()]);
  return in.make_seq(what.seq().kind, std::move(items));
}

bool repeatable(const Value& v) { return v.is_string() || v.is_seq(SeqKind::kList) || v.is_seq(SeqKind::kTuple); }

Result<Value> join(Interp& in, const Value& a, const Value& b) {
  if (a.is_string()) {
    LAHAR_TRY(in.check_size(uint64_t{a.text().size()} + b.text().size()));
    const bool markup = a.markup() || b.markup();
    Text out = markup && !a.markup() ? escape_html(a.text()) : a.text();
    if (markup && !b.markup()) {
      out.append(escape_html(b.text()));
    } else {
      out.append(b.text());
    }
    return in.make_string(std::move(out), markup);
  }
  std::vector<Value> items = a.items();
  LAHAR_TRY(in.check_items(uint64_t{items.size()} + b.items().size()));
  items.insert(items.end(), b.items().begin(), b.items().end());
  return in.make_seq(a.seq().kind, std::move(items));
}

}  // namespace

Result<Value> binary_op(Interp& in, Op op, const Value& a, const Value& b) {
  if (op == Op::kMod && a.is_string()) return percent_format(in, a, b);
  if (a.undefined()) return undefined_error(a);
  if (b.undefined()) return undefined_error(b);
  if (a.number() && b.number()) {
    const bool trusted = a.trusted() && b.trusted();
    if (a.integral() && b.integral()) return integers(op, a.as_int(), b.as_int(), trusted);
    if (a.is(Kind::kFloat) || b.is(Kind::kFloat)) return floats(op, a.as_double(), b.as_double(), trusted);
    return too_large();
  }
  if (op == Op::kAdd) {
    const bool lists = a.is_seq(SeqKind::kList) && b.is_seq(SeqKind::kList);
    const bool tuples = a.is_seq(SeqKind::kTuple) && b.is_seq(SeqKind::kTuple);
    if ((a.is_string() && b.is_string()) || lists || tuples) return join(in, a, b);
  }
  if (op == Op::kMul) {
    if (repeatable(a) && b.integral()) return repeat(in, a, b);
    if (repeatable(b) && a.integral()) return repeat(in, b, a);
    if (repeatable(a) || repeatable(b)) {
      return type_error("can't multiply sequence by non-int of type '" + type_name(repeatable(a) ? b : a) + "'");
    }
  }
  return unsupported(op, a, b);
}

Result<Value> negate(const Value& value) {
  if (value.undefined()) return undefined_error(value);
  if (value.integral()) {
    int64_t result = 0;
    if (__builtin_sub_overflow(int64_t{0}, value.as_int(), &result)) return too_large();
    return Value::integer(result, value.trusted());
  }
  if (value.is(Kind::kFloat)) return Value::real(-value.as_double(), value.trusted());
  if (value.is(Kind::kBigInt)) return too_large();
  return type_error("bad operand type for unary -: '" + type_name(value) + "'");
}

Result<Value> positive(const Value& value) {
  if (value.undefined()) return undefined_error(value);
  if (value.integral()) return Value::integer(value.as_int(), value.trusted());
  if (value.number()) return value;
  return type_error("bad operand type for unary +: '" + type_name(value) + "'");
}

}  // namespace lahar::jinja
