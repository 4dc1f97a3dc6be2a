// The filters and tests, by name.
#pragma once

#include <span>
#include <string_view>

#include "text/jinja/ast.h"
#include "text/jinja/interp.h"

namespace lahar::jinja {

FilterFunction find_filter(std::string_view name);  // null where there is none
TestFunction find_test(std::string_view name);      // null where there is none

struct FilterEntry {
  std::string_view name;
  FilterFunction function;
};
// The parts of the table, one per file.
std::span<const FilterEntry> text_filters();
std::span<const FilterEntry> number_filters();
std::span<const FilterEntry> sequence_filters();
std::span<const FilterEntry> order_filters();
std::span<const FilterEntry> selection_filters();

// Follows attributes ("a.b.0", or an integer) from an item; missing and none are the item itself.
class AttributeGetter {
 public:
  static Result<AttributeGetter> make(const Value& attribute, Value otherwise = {});
  Result<Value> operator()(Interp& in, const Value& item) const;

 private:
  std::vector<Value> parts_;
  Value otherwise_;  // for what is undefined; missing: nothing
};

// In small letters where it is a string and case does not count.
Value fold_case(const Value& value, bool case_sensitive);
// len(value); TypeError where it has none.
Result<int64_t> length_of(Interp& in, const Value& value);
// A generator over values that are there already.
Result<Value> generator(Interp& in, std::vector<Value> items, const char* type_name = "generator");

}  // namespace lahar::jinja
