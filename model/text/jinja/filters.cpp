#include "text/jinja/filters.h"

#include <algorithm>

#include "text/jinja/methods.h"
#include "text/jinja/unicode.h"

namespace lahar::jinja {

FilterFunction find_filter(std::string_view name) {
  for (const auto part : {text_filters(), number_filters(), sequence_filters(), order_filters(), selection_filters()})
    for (const FilterEntry& entry : part)
      if (entry.name == name) return entry.function;
  return nullptr;
}

Result<AttributeGetter> AttributeGetter::make(const Value& attribute, Value otherwise) {
  AttributeGetter getter;
  if (!otherwise.none_value()) getter.otherwise_ = std::move(otherwise);
  if (attribute.missing() || attribute.none_value()) return getter;
  if (!attribute.is_string()) {
    getter.parts_.push_back(attribute);
    return getter;
  }
  const std::string& path = attribute.str();
  for (size_t begin = 0; begin <= path.size();) {
    const size_t end = std::min(path.find('.', begin), path.size());
    const std::string part = path.substr(begin, end - begin);
    const bool number = !part.empty() && part.size() < 18 && part.find_first_not_of("0123456789") == std::string::npos;
    getter.parts_.push_back(number ? Value::integer(std::stoll(part)) : Value::string(part));
    begin = end + 1;
  }
  return getter;
}

Result<Value> AttributeGetter::operator()(Interp& in, const Value& item) const {
  Value value = item;
  for (const Value& part : parts_) {
    LAHAR_TRY(in.charge(1));
    LAHAR_ASSIGN(value, get_item(in, value, part));
    if (!otherwise_.missing() && value.undefined()) value = otherwise_;
  }
  return value;
}

Value fold_case(const Value& value, bool case_sensitive) {
  return value.is_string() && !case_sensitive ? Value::string(lower(value.text())) : value;
}

Result<int64_t> length_of(Interp& in, const Value& value) {
  switch (value.kind()) {
    case Kind::kUndefined: return 0;
    case Kind::kString:
      LAHAR_TRY(in.charge_bytes(value.text().size()));
      return static_cast<int64_t>(code_points(value.str()));
    case Kind::kSeq: return static_cast<int64_t>(value.items().size());
    case Kind::kDict: return static_cast<int64_t>(value.dict().entries.size());
    case Kind::kRange: return value.range().size;
    default: break;
  }
  if (value.is(Kind::kObject)) {
    LAHAR_ASSIGN(const Value length, value.object().attribute(in, value, "length"));
    if (length.integral()) return length.as_int();
  }
  return type_error("object of type '" + type_name(value) + "' has no len()");
}

Result<Value> generator(Interp& in, std::vector<Value> items, const char* type_name) {
  LAHAR_ASSIGN(const Value list, in.make_list(std::move(items)));
  auto next = [list, i = size_t{0}](Value& out) mutable -> Status {
    if (i < list.items().size()) out = list.items()[i++];
    return {};
  };
  return in.make_iter(list.depth(), std::move(next), type_name);
}

}  // namespace lahar::jinja
