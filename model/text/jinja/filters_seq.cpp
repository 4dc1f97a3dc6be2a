// Filters over sequences as a whole.
#include <algorithm>
#include <array>

#include "text/jinja/filters.h"
#include "text/jinja/unicode.h"

namespace lahar::jinja {

namespace {

using Values = std::vector<Value>;

Result<Value> first(Interp& in, const Value& input, Args& args) {
  LAHAR_TRY(bind(args, "first", {}, 0));
  LAHAR_ASSIGN(Cursor cursor, Cursor::over(in, input));
  Value item;
  LAHAR_TRY(cursor.next(in, item));
  return item.missing() ? Value::undefined("No first item, sequence was empty.") : item;
}

bool reversible(const Value& value) {
  return value.undefined() || value.is_string() || value.is(Kind::kSeq) || value.is(Kind::kDict) || value.is(Kind::kRange);
}

Result<Value> last(Interp& in, const Value& input, Args& args) {
  LAHAR_TRY(bind(args, "last", {}, 0));
  if (!reversible(input)) return type_error("'" + type_name(input) + "' object is not reversible");
  if (!truthy(input)) return Value::undefined("No last item, sequence was empty.");
  if (input.is(Kind::kDict)) return input.dict().entries.back().first;
  if (input.is(Kind::kSeq)) return input.items().back();
  if (input.is(Kind::kRange)) return Value::integer(input.range().at(input.range().size - 1));
  return get_item(in, input, Value::integer(-1));
}

Result<Value> length(Interp& in, const Value& input, Args& args) {
  LAHAR_TRY(bind(args, "length", {}, 0));
  LAHAR_ASSIGN(const int64_t size, length_of(in, input));
  return Value::integer(size);
}

Result<Value> list(Interp& in, const Value& input, Args& args) {
  LAHAR_TRY(bind(args, "list", {}, 0));
  LAHAR_ASSIGN(Values items, in.collect(input));
  return in.make_list(std::move(items));
}

Result<Value> items(Interp& in, const Value& input, Args& args) {
  LAHAR_TRY(bind(args, "items", {}, 0));
  if (!input.undefined() && !input.is(Kind::kDict)) {
    return in.make_iter(0, [](Value&) -> Status { return type_error("Can only get item pairs from a mapping."); });
  }
  Values pairs;
  if (input.is(Kind::kDict)) {
    for (const auto& [key, value] : input.dict().entries) pairs.push_back(Value::tuple({key, value}));
  }
  return generator(in, std::move(pairs));
}

Result<Value> join(Interp& in, const Value& input, Args& args) {
  LAHAR_ASSIGN(const Values a, bind(args, "join", {"d", "attribute"}, 0));
  Text separator;
  if (!a[0].missing()) { LAHAR_ASSIGN(separator, in.str(a[0])); }
  LAHAR_ASSIGN(const AttributeGetter get, AttributeGetter::make(a[1]));
  LAHAR_ASSIGN(Cursor cursor, Cursor::over(in, input));
  Text out;
  for (bool start = true;; start = false) {
    Value item;
    LAHAR_TRY(cursor.next(in, item));
    if (item.missing()) break;
    LAHAR_ASSIGN(item, get(in, item));
    LAHAR_ASSIGN(const Text text, in.str(item));
    LAHAR_TRY(in.charge_bytes(text.size()));
    LAHAR_TRY(in.check_size(out.size() + separator.size() + text.size()));
    if (!start) out.append(separator);
    out.append(text);
  }
  return in.make_string(std::move(out));
}

Result<Value> reverse(Interp& in, const Value& input, Args& args) {
  LAHAR_TRY(bind(args, "reverse", {}, 0));
  if (input.is_string()) return get_slice(in, input, Value::none(), Value::none(), Value::integer(-1));
  if (!reversible(input) && !input.is(Kind::kIter)) return runtime_error("FilterArgumentError: argument must be iterable");
  LAHAR_ASSIGN(Values reversed, in.collect(input));
  std::reverse(reversed.begin(), reversed.end());
  if (input.is(Kind::kIter)) return in.make_list(std::move(reversed));
  return generator(in, std::move(reversed), "list_reverseiterator");
}

Result<Value> slice(Interp& in, const Value& input, Args& args) {
  LAHAR_ASSIGN(const Values a, bind(args, "slice", {"slices", "fill_with"}, 1));
  LAHAR_ASSIGN(const int64_t slices, int_argument(a[0], 0, "slice"));
  LAHAR_ASSIGN(const Values all, in.collect(input));
  if (slices == 0) return runtime_error("ZeroDivisionError: integer division or modulo by zero");
  Values out;
  if (slices < 0) return generator(in, std::move(out));
  LAHAR_TRY(in.check_items(static_cast<uint64_t>(slices)));
  const size_t each = all.size() / static_cast<size_t>(slices), extra = all.size() % static_cast<size_t>(slices);
  size_t at = 0;
  for (size_t i = 0; i < static_cast<size_t>(slices); ++i) {
    const size_t end = at + each + (i < extra ? 1 : 0);
    Values part(all.begin() + static_cast<std::ptrdiff_t>(at), all.begin() + static_cast<std::ptrdiff_t>(end));
    if (!a[1].missing() && !a[1].none_value() && i >= extra) part.push_back(a[1]);
    LAHAR_ASSIGN(Value made, in.make_list(std::move(part)));
    out.push_back(std::move(made));
    at = end;
  }
  return generator(in, std::move(out));
}

Result<Value> batch(Interp& in, const Value& input, Args& args) {
  LAHAR_ASSIGN(const Values a, bind(args, "batch", {"linecount", "fill_with"}, 1));
  LAHAR_ASSIGN(const int64_t count, int_argument(a[0], 0, "batch"));
  LAHAR_ASSIGN(const Values all, in.collect(input));
  Values out, part;
  for (const Value& item : all) {
    if (static_cast<int64_t>(part.size()) == count) {
      LAHAR_ASSIGN(Value made, in.make_list(std::move(part)));
      out.push_back(std::move(made));
      part = {};
    }
    part.push_back(item);
  }
  if (!part.empty()) {
    if (!a[1].missing() && !a[1].none_value() && static_cast<int64_t>(part.size()) < count) {
      LAHAR_TRY(in.check_items(static_cast<uint64_t>(count)));
      part.resize(static_cast<size_t>(count), a[1]);
    }
    LAHAR_ASSIGN(Value made, in.make_list(std::move(part)));
    out.push_back(std::move(made));
  }
  return generator(in, std::move(out));
}

Result<Value> sum(Interp& in, const Value& input, Args& args) {
  LAHAR_ASSIGN(const Values a, bind(args, "sum", {"attribute", "start"}, 0));
  LAHAR_ASSIGN(const AttributeGetter get, AttributeGetter::make(a[0]));
  Value total = a[1].missing() ? Value::integer(0) : a[1];
  if (total.is_string()) return type_error("sum() can't sum strings [use ''.join(seq) instead]");
  LAHAR_ASSIGN(Cursor cursor, Cursor::over(in, input));
  while (true) {
    Value item;
    LAHAR_TRY(cursor.next(in, item));
    if (item.missing()) return total;
    LAHAR_ASSIGN(item, get(in, item));
    LAHAR_ASSIGN(total, binary_op(in, Op::kAdd, total, item));
  }
}

constexpr std::array<FilterEntry, 11> kFilters = {{{"first", first},
                                                   {"last", last},
                                                   {"length", length},
                                                   {"count", length},
                                                   {"list", list},
                                                   {"items", items},
                                                   {"join", join},
                                                   {"reverse", reverse},
                                                   {"slice", slice},
                                                   {"batch", batch},
                                                   {"sum", sum}}};

}  // namespace

std::span<const FilterEntry> sequence_filters() { return kFilters; }

}  // namespace lahar::jinja
