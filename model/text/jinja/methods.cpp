// Methods of lists, tuples, dicts and numbers, and the way to those of strings.
#include "text/jinja/methods.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>

namespace lahar::jinja {

namespace {

struct Entry {
  std::string_view name;
  Method method;
};

Result<Value> list_index(Interp& in, const Value& self, Args& args) {
  LAHAR_ASSIGN(const std::vector<Value> a, bind(args, "index", {"value", "start", "stop"}, 1));
  LAHAR_ASSIGN(const std::vector<Value> items, in.collect(self));
  const auto size = static_cast<int64_t>(items.size());
  LAHAR_ASSIGN(int64_t start, int_argument(a[1], 0, "index"));
  LAHAR_ASSIGN(int64_t stop, int_argument(a[2], size, "index"));
  if (start < 0) start = std::max<int64_t>(start + size, 0);
  if (stop < 0) stop += size;
  for (int64_t i = start; i < std::min(stop, size); ++i) {
    LAHAR_ASSIGN(const bool same, in.equals(items[static_cast<size_t>(i)], a[0]));
    if (same) return Value::integer(i);
  }
  return value_error("value is not in the " + type_name(self));
}

Result<Value> list_count(Interp& in, const Value& self, Args& args) {
  LAHAR_ASSIGN(const std::vector<Value> a, bind(args, "count", {"value"}, 1));
  LAHAR_ASSIGN(const std::vector<Value> items, in.collect(self));
  int64_t count = 0;
  for (const Value& item : items) {
    LAHAR_ASSIGN(const bool same, in.equals(item, a[0]));
    count += same ? 1 : 0;
  }
  return Value::integer(count);
}

Result<Value> same_object(Interp&, const Value& self, Args& args) {
  LAHAR_TRY(bind(args, "copy", {}, 0));
  return self;  // values never change, so a copy is the value itself
}

Result<Value> dict_get(Interp& in, const Value& self, Args& args) {
  LAHAR_ASSIGN(const std::vector<Value> a, bind(args, "get", {"key", "default"}, 1));
  if (!hashable(a[0])) return type_error("unhashable type: '" + type_name(a[0]) + "'");
  LAHAR_TRY(in.charge(1 + a[0].weight() / 4));
  const Value* found = self.dict().find(a[0]);
  if (found != nullptr) return *found;
  return a[1].missing() ? Value::none() : a[1];
}

Result<Value> dict_keys(Interp& in, const Value& self, Args& args) {
  LAHAR_TRY(bind(args, "keys", {}, 0));
  std::vector<Value> items;
  for (const auto& [key, _] : self.dict().entries) items.push_back(key);
  return in.make_seq(SeqKind::kKeys, std::move(items));
}

Result<Value> dict_values(Interp& in, const Value& self, Args& args) {
  LAHAR_TRY(bind(args, "values", {}, 0));
  std::vector<Value> items;
  for (const auto& [_, value] : self.dict().entries) items.push_back(value);
  return in.make_seq(SeqKind::kValues, std::move(items));
}

Result<Value> dict_items(Interp& in, const Value& self, Args& args) {
  LAHAR_TRY(bind(args, "items", {}, 0));
  std::vector<Value> items;
  for (const auto& [key, value] : self.dict().entries) items.push_back(Value::tuple({key, value}));
  return in.make_seq(SeqKind::kItems, std::move(items));
}

Result<Value> dict_fromkeys(Interp& in, const Value&, Args& args) {
  LAHAR_ASSIGN(const std::vector<Value> a, bind(args, "fromkeys", {"iterable", "value"}, 1));
  LAHAR_ASSIGN(const std::vector<Value> keys, in.collect(a[0]));
  auto dict = std::make_shared<DictObj>();
  for (const Value& key : keys) {
    if (!hashable(key)) return type_error("unhashable type: '" + type_name(key) + "'");
    dict->set(key, a[1].missing() ? Value::none() : a[1]);
  }
  return in.make_dict(std::move(dict));
}

Result<Value> is_integer(Interp&, const Value& self, Args& args) {
  LAHAR_TRY(bind(args, "is_integer", {}, 0));
  return Value::boolean(!self.is(Kind::kFloat) ||
                        (std::isfinite(self.as_double()) && std::floor(self.as_double()) == self.as_double()));
}

Result<Value> bit_length(Interp&, const Value& self, Args& args) {
  LAHAR_TRY(bind(args, "bit_length", {}, 0));
  const int64_t i = self.as_int();
  return Value::integer(std::bit_width(i < 0 ? 0 - static_cast<uint64_t>(i) : static_cast<uint64_t>(i)));
}

constexpr std::array<Entry, 3> kList = {{{"index", list_index}, {"count", list_count}, {"copy", same_object}}};
constexpr std::array<Entry, 6> kDict = {{{"get", dict_get},
                                         {"items", dict_items},
                                         {"keys", dict_keys},
                                         {"values", dict_values},
                                         {"copy", same_object},
                                         {"fromkeys", dict_fromkeys}}};

template <size_t N>
Method look_up(const std::array<Entry, N>& entries, std::string_view name) {
  for (const Entry& entry : entries)
    if (entry.name == name) return entry.method;
  return nullptr;
}

}  // namespace

Method find_method(const Value& object, std::string_view name) {
  switch (object.kind()) {
    case Kind::kString:
      for (const auto find : {find_string_method, find_string_search, find_string_class})
        if (const Method method = find(name)) return method;
      return nullptr;
    case Kind::kDict: return look_up(kDict, name);
    case Kind::kSeq: {
      const SeqKind kind = object.seq().kind;
      if (kind == SeqKind::kList) return look_up(kList, name);
      if (kind == SeqKind::kTuple || kind == SeqKind::kGroup) return name == "copy" ? nullptr : look_up(kList, name);
      return nullptr;
    }
    case Kind::kRange: return name == "copy" ? nullptr : look_up(kList, name);
    case Kind::kFloat: return name == "is_integer" ? is_integer : nullptr;
    case Kind::kBool:
    case Kind::kInt: return name == "bit_length" ? bit_length : nullptr;
    default: return nullptr;
  }
}

}  // namespace lahar::jinja
