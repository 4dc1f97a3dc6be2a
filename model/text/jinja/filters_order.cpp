// Filters that compare the items of a sequence.
#include <algorithm>
#include <array>
#include <bit>

#include "text/jinja/filters.h"

namespace lahar::jinja {

namespace {

using Values = std::vector<Value>;
using Keyed = std::vector<std::pair<Value, Value>>;  // key, item

// Stable, as Python's sorted(); reverse keeps equal items in their order too.
Status sort_keyed(Interp& in, Keyed& items, bool reverse) {
  Status failed;
  const auto less = [&](const auto& a, const auto& b) {
    if (!failed.ok()) return false;
    const Status paid = in.charge(2 + std::min(a.first.weight(), b.first.weight()) / 4);
    auto order =
        paid.ok() ? compare(reverse ? b.first : a.first, reverse ? a.first : b.first, "<") : Result<int>(paid.error());
    if (!order.ok()) {
      failed = order.error();
      return false;
    }
    return *order == -1;
  };
  // A merge sort stays within bounds even where the order turns out to be none.
  std::stable_sort(items.begin(), items.end(), less);
  return failed;
}

Result<Value> sort(Interp& in, const Value& input, Args& args) {
  LAHAR_ASSIGN(const Values a, bind(args, "sort", {"reverse", "case_sensitive", "attribute"}, 0));
  std::vector<AttributeGetter> getters;
  if (a[2].is_string()) {
    const std::string& list = a[2].str();
    for (size_t begin = 0; begin <= list.size();) {
      const size_t end = std::min(list.find(',', begin), list.size());
      LAHAR_ASSIGN(AttributeGetter get, AttributeGetter::make(Value::string(list.substr(begin, end - begin))));
      getters.push_back(std::move(get));
      begin = end + 1;
    }
  } else {
    LAHAR_ASSIGN(AttributeGetter get, AttributeGetter::make(a[2]));
    getters.push_back(std::move(get));
  }
  LAHAR_ASSIGN(const Values all, in.collect(input));
  Keyed keyed;
  for (const Value& item : all) {
    Values keys;
    for (const AttributeGetter& get : getters) {
      LAHAR_ASSIGN(const Value key, get(in, item));
      keys.push_back(fold_case(key, truthy(a[1])));
    }
    LAHAR_ASSIGN(Value key, in.make_list(std::move(keys)));
    keyed.emplace_back(std::move(key), item);
  }
  LAHAR_TRY(sort_keyed(in, keyed, truthy(a[0])));
  Values out;
  for (auto& [_, item] : keyed) out.push_back(std::move(item));
  return in.make_list(std::move(out));
}

Result<Value> dictsort(Interp& in, const Value& input, Args& args) {
  LAHAR_ASSIGN(const Values a, bind(args, "dictsort", {"case_sensitive", "by", "reverse"}, 0));
  if (input.undefined()) return undefined_error(input);
  if (!input.is(Kind::kDict))
    return runtime_error("AttributeError: '" + type_name(input) + "' object has no attribute 'items'");
  const std::string by = a[1].missing() ? "key" : a[1].is_string() ? a[1].str() : "";
  if (by != "key" && by != "value")
    return runtime_error("FilterArgumentError: You can only sort by either \"key\" or \"value\"");
  Keyed keyed;
  for (const auto& [key, value] : input.dict().entries) {
    keyed.emplace_back(fold_case(by == "key" ? key : value, truthy(a[0])), Value::tuple({key, value}));
  }
  LAHAR_TRY(sort_keyed(in, keyed, truthy(a[2])));
  Values out;
  for (auto& [_, item] : keyed) out.push_back(std::move(item));
  return in.make_list(std::move(out));
}

Result<Value> groupby(Interp& in, const Value& input, Args& args) {
  LAHAR_ASSIGN(const Values a, bind(args, "groupby", {"attribute", "default", "case_sensitive"}, 1));
  LAHAR_ASSIGN(const AttributeGetter get, AttributeGetter::make(a[0], a[1]));
  LAHAR_ASSIGN(const Values all, in.collect(input));
  Keyed keyed;
  for (const Value& item : all) {
    LAHAR_ASSIGN(const Value key, get(in, item));
    keyed.emplace_back(fold_case(key, truthy(a[2])), item);
  }
  LAHAR_TRY(sort_keyed(in, keyed, false));
  Values groups;
  for (size_t i = 0; i < keyed.size();) {
    Values members;
    size_t end = i;
    for (; end < keyed.size(); ++end) {
      LAHAR_ASSIGN(const bool same, in.equals(keyed[end].first, keyed[i].first));
      if (!same) break;
      members.push_back(keyed[end].second);
    }
    if (members.empty()) members.push_back(keyed[end++].second);  // what is not equal to itself
    LAHAR_ASSIGN(const Value grouper, get(in, members.front()));
    LAHAR_ASSIGN(const Value list, in.make_list(std::move(members)));
    LAHAR_ASSIGN(Value group, in.make_seq(SeqKind::kGroup, {grouper, list}));
    groups.push_back(std::move(group));
    i = end;
  }
  return in.make_list(std::move(groups));
}

Result<Value> unique(Interp& in, const Value& input, Args& args) {
  LAHAR_ASSIGN(const Values a, bind(args, "unique", {"case_sensitive", "attribute"}, 0));
  LAHAR_ASSIGN(const AttributeGetter get, AttributeGetter::make(a[1]));
  LAHAR_ASSIGN(const Cursor start, Cursor::over(in, input));
  auto next = [&in, get, cursor = start, seen = std::make_shared<DictObj>(),
               exact = truthy(a[0])](Value& out) mutable -> Status {
    while (true) {
      LAHAR_TRY(cursor.next(in, out));
      if (out.missing()) return {};
      LAHAR_ASSIGN(Value key, get(in, out));
      key = fold_case(key, exact);
      if (!hashable(key)) return type_error("unhashable type: '" + type_name(key) + "'");
      LAHAR_TRY(in.charge(1 + key.weight() / 4));
      if (seen->find(key) != nullptr) continue;
      seen->set(std::move(key), Value::none());
      return {};
    }
  };
  return in.make_iter(std::max(input.depth(), depth_of(args)), std::move(next));
}

template <int wanted>
Result<Value> extreme(Interp& in, const Value& input, Args& args) {
  LAHAR_ASSIGN(const Values a, bind(args, wanted < 0 ? "min" : "max", {"case_sensitive", "attribute"}, 0));
  LAHAR_ASSIGN(const AttributeGetter get, AttributeGetter::make(a[1]));
  LAHAR_ASSIGN(Cursor cursor, Cursor::over(in, input));
  Value best, best_key;
  while (true) {
    Value item;
    LAHAR_TRY(cursor.next(in, item));
    if (item.missing()) break;
    LAHAR_ASSIGN(Value key, get(in, item));
    key = fold_case(key, truthy(a[0]));
    if (!best.missing()) {
      LAHAR_TRY(in.charge(1 + std::min(key.weight(), best_key.weight()) / 4));
      LAHAR_ASSIGN(const int order, compare(key, best_key, wanted < 0 ? "<" : ">"));
      if (order != wanted) continue;
    }
    best = std::move(item);
    best_key = std::move(key);
  }
  return best.missing() ? Value::undefined("No aggregated item, sequence was empty.") : best;
}

constexpr std::array<FilterEntry, 6> kFilters = {{{"sort", sort},
                                                  {"dictsort", dictsort},
                                                  {"groupby", groupby},
                                                  {"unique", unique},
                                                  {"min", extreme<-1>},
                                                  {"max", extreme<1>}}};

}  // namespace

std::span<const FilterEntry> order_filters() { return kFilters; }

}  // namespace lahar::jinja
