// Attributes, items and slices, as the immutable sandbox gives them.
#include <algorithm>
#include <array>

#include "text/jinja/interp.h"
#include "text/jinja/methods.h"
#include "text/jinja/repr.h"
#include "text/jinja/unicode.h"

namespace lahar::jinja {

namespace {

// Attributes that every object has in Python; the sandbox refuses them.
constexpr std::array<std::string_view, 27> kSpecial = {
    "__class__",  "__init__", "__dir__",          "__doc__",           "__eq__",           "__ne__",      "__lt__",
    "__le__",     "__gt__",   "__ge__",           "__format__",        "__getattribute__", "__setattr__", "__delattr__",
    "__hash__",   "__new__",  "__reduce__",       "__reduce_ex__",     "__repr__",         "__str__",     "__sizeof__",
    "__module__", "__dict__", "__subclasshook__", "__init_subclass__", "__len__",          "__getitem__"};

// Methods that would change the object.
bool mutates(const Value& object, std::string_view name) {
  constexpr std::array<std::string_view, 8> kList = {"append", "clear", "pop",    "reverse",
                                                     "insert", "sort",  "extend", "remove"};
  constexpr std::array<std::string_view, 5> kDict = {"clear", "pop", "popitem", "setdefault", "update"};
  if (object.is_seq(SeqKind::kList)) return std::find(kList.begin(), kList.end(), name) != kList.end();
  if (object.is(Kind::kDict)) return std::find(kDict.begin(), kDict.end(), name) != kDict.end();
  return false;
}

Value unsafe(const Value& object, std::string_view name) {
  return Value::undefined("access to attribute '" + std::string(name) + "' of '" + type_name(object) + "' object is unsafe.",
                          true);
}

std::string type_repr(const Value& object) {
  if (object.none_value()) return "None";
  const std::string name = type_name(object);
  if (object.is(Kind::kNamespace)) return "jinja2.utils.Namespace object";
  return name + " object";
}

Value no_attribute(const Value& object, std::string_view name) {
  return Value::undefined("'" + type_repr(object) + "' has no attribute '" + std::string(name) + "'");
}

Result<Value> no_element(Interp& in, const Value& object, const Value& key) {
  if (key.is_string()) return no_attribute(object, key.str());
  if (key.weight() > 100) return Value::undefined(type_repr(object) + " has no such element");
  LAHAR_ASSIGN(const Text shown, to_repr(in, key));
  return Value::undefined(type_repr(object) + " has no element " + shown.bytes());
}

// A position from the front, or nothing where it is outside.
std::optional<size_t> position(int64_t index, size_t size) {
  const auto n = static_cast<int64_t>(size);
  if (index < 0) index += n;
  if (index < 0 || index >= n) return std::nullopt;
  return static_cast<size_t>(index);
}

Value character(const Text& text, size_t index) {
  const size_t begin = byte_offset(text.view(), index);
  return Value::string(text.substr(begin, begin + decode(text.view(), begin).size));
}

// obj[key] where that works; missing where Python raises an error that Jinja turns into undefined.
Result<Value> item_only(Interp& in, const Value& object, const Value& key) {
  switch (object.kind()) {
    case Kind::kDict: {
      if (!hashable(key)) return Value();
      LAHAR_TRY(in.charge(1 + key.weight() / 4));
      const Value* found = object.dict().find(key);
      return found != nullptr ? *found : Value();
    }
    case Kind::kString: {
      if (!key.integral()) return Value();
      LAHAR_TRY(in.charge_bytes(object.text().size()));
      const auto at = position(key.as_int(), code_points(object.str()));
      return at ? character(object.text(), *at) : Value();
    }
    case Kind::kSeq: {
      const SeqKind kind = object.seq().kind;
      const bool indexable = kind == SeqKind::kList || kind == SeqKind::kTuple || kind == SeqKind::kGroup;
      if (!indexable || !key.integral()) return Value();
      const auto at = position(key.as_int(), object.items().size());
      return at ? object.items()[*at] : Value();
    }
    case Kind::kRange: {
      if (!key.integral()) return Value();
      const auto at = position(key.as_int(), static_cast<size_t>(object.range().size));
      return at ? Value::integer(object.range().at(static_cast<int64_t>(*at))) : Value();
    }
    default: return Value();
  }
}

}  // namespace

Result<Value> attribute_only(Interp& in, const Value& object, std::string_view name) {
  if (object.is(Kind::kNamespace)) {
    const Value* found = object.ns().attributes.find(name);
    return found != nullptr ? *found : Value();
  }
  if (name.starts_with("__") && std::find(kSpecial.begin(), kSpecial.end(), name) != kSpecial.end()) {
    return unsafe(object, name);
  }
  if (mutates(object, name)) return unsafe(object, name);
  if (object.is(Kind::kObject)) return object.object().attribute(in, object, name);
  if (object.is(Kind::kCallable)) return object.callable().attribute(name);
  if (object.is_seq(SeqKind::kGroup) && name == "grouper") return object.items()[0];
  if (object.is_seq(SeqKind::kGroup) && name == "list") return object.items()[1];
  if (object.is(Kind::kRange)) {
    const RangeObj& r = object.range();
    if (name == "start" || name == "stop" || name == "step") {
      return Value::integer(name == "start" ? r.start : name == "stop" ? r.stop : r.step);
    }
  }
  if (object.number() && (name == "real" || name == "numerator")) return positive(object);
  if (object.number() && name == "imag") return object.is(Kind::kFloat) ? Value::real(0) : Value::integer(0);
  const Method method = find_method(object, name);
  if (method == nullptr) return Value();
  Value bound = native(std::string(name), object.depth(), [object, method](Interp& interp, Args& args) -> Result<Value> {
    LAHAR_TRY(interp.charge(1 + object.weight()));
    return method(interp, object, args);
  });
  LAHAR_TRY(check_shape(bound));
  return bound;
}

Result<Value> get_attribute(Interp& in, const Value& object, std::string_view name) {
  if (object.undefined()) return undefined_error(object);
  LAHAR_ASSIGN(Value value, attribute_only(in, object, name));
  if (!value.missing()) return value;
  if (object.is(Kind::kDict)) {
    const Value* found = object.dict().find(name);
    if (found != nullptr) return *found;
  }
  return no_attribute(object, name);
}

Result<Value> get_item(Interp& in, const Value& object, const Value& key) {
  if (object.undefined()) return undefined_error(object);
  LAHAR_ASSIGN(Value value, item_only(in, object, key));
  if (!value.missing()) return value;
  if (key.is_string()) {
    LAHAR_ASSIGN(value, attribute_only(in, object, key.str()));
    if (!value.missing()) return value;
  }
  return no_element(in, object, key);
}

Result<Value> get_slice(Interp& in, const Value& object, const Value& start, const Value& stop, const Value& step) {
  if (object.undefined()) return undefined_error(object);
  const bool indexable = object.is_string() || object.is(Kind::kRange) || object.is_seq(SeqKind::kList) ||
                         object.is_seq(SeqKind::kTuple) || object.is_seq(SeqKind::kGroup);
  if (object.is(Kind::kDict)) return type_error("unhashable type: 'slice'");
  if (!indexable) return type_error("'" + type_name(object) + "' object is not subscriptable");
  for (const Value* bound : {&start, &stop, &step}) {
    if (bound->undefined() || !(bound->none_value() || bound->integral())) {
      return type_error("slice indices must be integers or None or have an __index__ method");
    }
  }
  LAHAR_TRY(in.charge_bytes(object.is_string() ? object.text().size() : 0));
  const auto size = static_cast<int64_t>(object.is_string()        ? code_points(object.str())
                                         : object.is(Kind::kRange) ? static_cast<size_t>(object.range().size)
                                                                   : object.items().size());
  // A stride beyond the whole selects one item, as one just beyond does.
  const int64_t stride = step.none_value() ? 1 : std::clamp(step.as_int(), -size - 1, size + 1);
  if (stride == 0) return value_error("slice step cannot be zero");
  const int64_t lowest = stride < 0 ? -1 : 0, highest = stride < 0 ? size - 1 : size;
  const auto clamp = [&](const Value& bound, int64_t otherwise) {
    if (bound.none_value()) return otherwise;
    const int64_t i = bound.as_int();
    return i < 0 ? std::max(i < -size ? lowest : i + size, lowest) : std::min(i, highest);
  };
  const int64_t from = clamp(start, stride < 0 ? highest : lowest);
  const int64_t to = clamp(stop, stride < 0 ? lowest : highest);
  if (object.is(Kind::kRange)) {
    const RangeObj& r = object.range();
    const auto at = [&](int64_t i, int64_t& out) {
      return !__builtin_mul_overflow(i, r.step, &out) && !__builtin_add_overflow(r.start, out, &out);
    };
    int64_t first = 0, end = 0, width = 0;
    if (at(from, first) && at(to, end) && !__builtin_mul_overflow(r.step, stride, &width))
      return Value::range(first, end, width);
  }
  const auto before_end = [&](int64_t i) { return stride > 0 ? i < to : i > to; };
  if (!object.is_string()) {
    std::vector<Value> items;
    for (int64_t i = from; before_end(i); i += stride) {
      items.push_back(object.is(Kind::kRange) ? Value::integer(object.range().at(i))
                                              : object.items()[static_cast<size_t>(i)]);
    }
    // A range whose bounds would not fit becomes a list.
    const bool list = object.is(Kind::kRange) || object.is_seq(SeqKind::kList);
    return in.make_seq(list ? SeqKind::kList : SeqKind::kTuple, std::move(items));
  }
  const Text& text = object.text();
  if (stride == 1) {
    if (from >= to) return in.make_string(Text());
    const size_t begin = byte_offset(text.view(), static_cast<size_t>(from));
    const size_t length = byte_offset(text.view().substr(begin), static_cast<size_t>(to - from));
    return in.make_string(text.substr(begin, begin + length), object.markup());
  }
  std::vector<size_t> offsets;
  for (size_t i = 0; i < text.size(); i += decode(text.view(), i).size) offsets.push_back(i);
  LAHAR_TRY(in.charge(offsets.size()));
  offsets.push_back(text.size());
  Text out;
  for (int64_t i = from; before_end(i); i += stride) {
    out.append(text, offsets[static_cast<size_t>(i)], offsets[static_cast<size_t>(i) + 1]);
  }
  return in.make_string(std::move(out), object.markup());
}

}  // namespace lahar::jinja
