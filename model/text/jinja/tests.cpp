// What stands behind `is`.
#include <array>

#include "text/jinja/filters.h"
#include "text/jinja/methods.h"

namespace lahar::jinja {

namespace {

using Values = std::vector<Value>;

template <bool (*holds)(const Value&)>
Result<bool> plain(Interp&, const Value& input, Args& args) {
  LAHAR_TRY(bind(args, "test", {}, 0));
  return holds(input);
}

bool defined(const Value& v) { return !v.undefined(); }
bool undefined(const Value& v) { return v.undefined(); }
bool none(const Value& v) { return v.none_value(); }
bool boolean(const Value& v) { return v.is(Kind::kBool); }
bool is_true(const Value& v) { return v.is(Kind::kBool) && v.as_bool(); }
bool is_false(const Value& v) { return v.is(Kind::kBool) && !v.as_bool(); }
bool integer(const Value& v) { return v.is(Kind::kInt) || v.is(Kind::kBigInt); }
bool floating(const Value& v) { return v.is(Kind::kFloat); }
bool number(const Value& v) { return v.number(); }
bool string(const Value& v) { return v.is_string(); }
bool mapping(const Value& v) { return v.is(Kind::kDict); }
bool escaped(const Value& v) { return v.markup(); }
bool callable(const Value& v) { return v.is(Kind::kCallable) || v.is(Kind::kObject) || v.undefined(); }
bool iterable(const Value& v) {
  return v.undefined() || v.is_string() || v.is(Kind::kSeq) || v.is(Kind::kDict) || v.is(Kind::kRange) || v.is(Kind::kIter);
}
bool sequence(const Value& v) {
  if (v.is(Kind::kSeq)) return v.is_seq(SeqKind::kList) || v.is_seq(SeqKind::kTuple) || v.is_seq(SeqKind::kGroup);
  return v.undefined() || v.is_string() || v.is(Kind::kDict) || v.is(Kind::kRange);
}

template <bool odd>
Result<bool> parity(Interp& in, const Value& input, Args& args) {
  LAHAR_TRY(bind(args, odd ? "odd" : "even", {}, 0));
  LAHAR_ASSIGN(const Value rest, binary_op(in, Op::kMod, input, Value::integer(2)));
  return equal(rest, Value::integer(odd ? 1 : 0));
}

Result<bool> divisible_by(Interp& in, const Value& input, Args& args) {
  LAHAR_ASSIGN(const Values a, bind(args, "divisibleby", {"num"}, 1));
  LAHAR_ASSIGN(const Value rest, binary_op(in, Op::kMod, input, a[0]));
  return equal(rest, Value::integer(0));
}

template <bool is_lower>
Result<bool> letter_case(Interp& in, const Value& input, Args& args) {
  LAHAR_TRY(bind(args, "test", {}, 0));
  LAHAR_ASSIGN(Text text, in.str(input));
  LAHAR_TRY(in.charge_bytes(text.size()));
  Args none;
  LAHAR_ASSIGN(const Value holds,
               find_string_class(is_lower ? "islower" : "isupper")(in, Value::string(std::move(text)), none));
  return holds.as_bool();
}

Result<bool> same_as(Interp&, const Value& input, Args& args) {
  LAHAR_ASSIGN(const Values a, bind(args, "sameas", {"other"}, 1));
  return identical(input, a[0]);
}

Result<bool> in_test(Interp& in, const Value& input, Args& args) {
  LAHAR_ASSIGN(const Values a, bind(args, "in", {"seq"}, 1));
  return in.contains(a[0], input);
}

template <bool wanted>
Result<bool> equality(Interp& in, const Value& input, Args& args) {
  LAHAR_ASSIGN(const Values a, bind(args, "eq", {"other"}, 1));
  LAHAR_ASSIGN(const bool same, in.equals(input, a[0]));
  return same == wanted;
}

// less, equal, greater: whether the test holds there.
template <bool less, bool same, bool greater>
Result<bool> order(Interp& in, const Value& input, Args& args) {
  LAHAR_ASSIGN(const Values a, bind(args, "compare", {"other"}, 1));
  LAHAR_TRY(in.charge(input.weight() / 4));
  LAHAR_ASSIGN(const int c, compare(input, a[0], less ? (same ? "<=" : "<") : (same ? ">=" : ">")));
  return c == -1 ? less : c == 0 ? same : c == 1 && greater;
}

Result<bool> is_filter(Interp&, const Value& input, Args& args) {
  LAHAR_TRY(bind(args, "filter", {}, 0));
  return input.is_string() && find_filter(input.str()) != nullptr;
}

Result<bool> is_test(Interp&, const Value& input, Args& args) {
  LAHAR_TRY(bind(args, "test", {}, 0));
  return input.is_string() && find_test(input.str()) != nullptr;
}

struct Entry {
  std::string_view name;
  TestFunction function;
};

constexpr std::array<Entry, 39> kTests = {{{"defined", plain<defined>},
                                           {"undefined", plain<undefined>},
                                           {"none", plain<none>},
                                           {"boolean", plain<boolean>},
                                           {"true", plain<is_true>},
                                           {"false", plain<is_false>},
                                           {"integer", plain<integer>},
                                           {"float", plain<floating>},
                                           {"number", plain<number>},
                                           {"string", plain<string>},
                                           {"mapping", plain<mapping>},
                                           {"iterable", plain<iterable>},
                                           {"sequence", plain<sequence>},
                                           {"callable", plain<callable>},
                                           {"escaped", plain<escaped>},
                                           {"odd", parity<true>},
                                           {"even", parity<false>},
                                           {"divisibleby", divisible_by},
                                           {"lower", letter_case<true>},
                                           {"upper", letter_case<false>},
                                           {"sameas", same_as},
                                           {"in", in_test},
                                           {"filter", is_filter},
                                           {"test", is_test},
                                           {"==", equality<true>},
                                           {"eq", equality<true>},
                                           {"equalto", equality<true>},
                                           {"!=", equality<false>},
                                           {"ne", equality<false>},
                                           {">", order<false, false, true>},
                                           {"gt", order<false, false, true>},
                                           {"greaterthan", order<false, false, true>},
                                           {">=", order<false, true, true>},
                                           {"ge", order<false, true, true>},
                                           {"<", order<true, false, false>},
                                           {"lt", order<true, false, false>},
                                           {"lessthan", order<true, false, false>},
                                           {"<=", order<true, true, false>},
                                           {"le", order<true, true, false>}}};

}  // namespace

TestFunction find_test(std::string_view name) {
  for (const Entry& entry : kTests)
    if (entry.name == name) return entry.function;
  return nullptr;
}

}  // namespace lahar::jinja
