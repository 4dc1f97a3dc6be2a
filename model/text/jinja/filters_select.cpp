// map, select, reject and their like: generators that call filters and tests by name.
#include <algorithm>
#include <array>

#include "text/jinja/filters.h"

namespace lahar::jinja {

namespace {

// What the generator of map does with each item.
struct Mapper {
  bool by_attribute = false;
  AttributeGetter get;
  std::string filter;
  Args args;

  static Result<Mapper> make(const Args& given);
  Result<Value> operator()(Interp& in, const Value& item) const {
    if (by_attribute) return get(in, item);
    Args copy = args;
    return in.call_filter(filter, item, copy);
  }
};

Result<Mapper> Mapper::make(const Args& given) {
  Mapper out;
  if (given.positional.empty()) {
    Value attribute, otherwise;
    for (const auto& [name, value] : given.named) {
      if (name == "attribute") attribute = value;
      if (name == "default") otherwise = value;
    }
    if (attribute.missing()) return runtime_error("FilterArgumentError: map requires a filter argument");
    for (const auto& [name, _] : given.named) {
      if (name == "attribute" || name == "default") continue;
      return runtime_error("FilterArgumentError: Unexpected keyword argument '" + name + "'");
    }
    out.by_attribute = true;
    LAHAR_ASSIGN(out.get, AttributeGetter::make(attribute, otherwise));
    return out;
  }
  LAHAR_ASSIGN(const Text name, text_argument(given.positional[0], "the name of a filter"));
  out.filter = name.bytes();
  out.args.positional.assign(given.positional.begin() + 1, given.positional.end());
  out.args.named = given.named;
  return out;
}

Result<Value> map(Interp& in, const Value& input, Args& args) {
  if (!truthy(input)) return generator(in, {});
  auto next = [&in, input, args, cursor = std::optional<Cursor>(), mapper = Mapper()](Value& out) mutable -> Status {
    if (!cursor) {
      LAHAR_ASSIGN(mapper, Mapper::make(args));
      LAHAR_ASSIGN(cursor, Cursor::over(in, input));
    }
    LAHAR_TRY(cursor->next(in, out));
    if (out.missing()) return {};
    LAHAR_ASSIGN(out, mapper(in, out));
    return {};
  };
  return in.make_iter(std::max(input.depth(), depth_of(args)), std::move(next));
}

// What decides about an item: an attribute of it or itself, through a test or as it is.
struct Condition {
  AttributeGetter get;
  std::string test;  // empty: truth
  Args args;
  bool wanted = true;

  static Result<Condition> make(const Args& given, bool wanted, bool by_attribute);
  Result<bool> operator()(Interp& in, const Value& item) const {
    LAHAR_ASSIGN(const Value value, get(in, item));
    if (test.empty()) return truthy(value) == wanted;
    Args copy = args;
    LAHAR_ASSIGN(const bool holds, in.call_test(test, value, copy));
    return holds == wanted;
  }
};

Result<Condition> Condition::make(const Args& given, bool wanted, bool by_attribute) {
  Condition out;
  out.wanted = wanted;
  size_t at = 0;
  if (by_attribute) {
    if (given.positional.empty()) return runtime_error("FilterArgumentError: Missing parameter for attribute name");
    LAHAR_ASSIGN(out.get, AttributeGetter::make(given.positional[at++]));
  }
  if (at < given.positional.size()) {
    LAHAR_ASSIGN(const Text name, text_argument(given.positional[at++], "the name of a test"));
    out.test = name.bytes();
    if (out.test.empty()) return runtime_error("TemplateRuntimeError: No test named ''.");
    out.args.positional.assign(given.positional.begin() + static_cast<std::ptrdiff_t>(at), given.positional.end());
    out.args.named = given.named;
  }
  return out;
}

template <bool wanted, bool by_attribute>
Result<Value> select(Interp& in, const Value& input, Args& args) {
  if (!truthy(input)) return generator(in, {});
  auto next = [&in, input, args, cursor = std::optional<Cursor>(), holds = Condition()](Value& out) mutable -> Status {
    if (!cursor) {
      LAHAR_ASSIGN(holds, Condition::make(args, wanted, by_attribute));
      LAHAR_ASSIGN(cursor, Cursor::over(in, input));
    }
    while (true) {
      LAHAR_TRY(cursor->next(in, out));
      if (out.missing()) return {};
      LAHAR_ASSIGN(const bool selected, holds(in, out));
      if (selected) return {};
    }
  };
  return in.make_iter(std::max(input.depth(), depth_of(args)), std::move(next));
}

constexpr std::array<FilterEntry, 5> kFilters = {{{"map", map},
                                                  {"select", select<true, false>},
                                                  {"reject", select<false, false>},
                                                  {"selectattr", select<true, true>},
                                                  {"rejectattr", select<false, true>}}};

}  // namespace

std::span<const FilterEntry> selection_filters() { return kFilters; }

}  // namespace lahar::jinja
