#include "text/jinja/interp.h"

#include <algorithm>

#include "text/jinja/filters.h"
#include "text/jinja/repr.h"
#include "text/jinja/unicode.h"

namespace lahar::jinja {

namespace {
constexpr uint32_t kMaxDepth = 100;  // of values in values
constexpr uint64_t kMaxValueWeight = 50'000'000;

class NativeFunction : public CallableObj {
 public:
  NativeFunction(std::string name, std::function<Result<Value>(Interp&, Args&)> function)
      : name_(std::move(name)), function_(std::move(function)) {}
  Result<Value> call(Interp& in, Args& args) const override { return function_(in, args); }
  std::string describe() const override { return "<function " + name_ + ">"; }
  const char* type_name() const override { return "builtin_function_or_method"; }

 private:
  std::string name_;
  std::function<Result<Value>(Interp&, Args&)> function_;
};
}  // namespace

void Scope::set(NameId id, Value value) {
  for (auto& [name, old] : variables) {
    if (name == id) {
      old = std::move(value);
      return;
    }
  }
  variables.emplace_back(id, std::move(value));
}

const Value* Scope::find(NameId id) const {
  for (const Scope* scope = this; scope != nullptr; scope = scope->parent.get())
    for (const auto& [name, value] : scope->variables)
      if (name == id) return &value;
  return nullptr;
}

Interp::~Interp() {
  for (const ScopePtr& scope : kept_scopes_) {
    // Moved out first: what the values hold may be the scope itself.
    const auto variables = std::move(scope->variables);
    scope->variables.clear();
  }
  for (const auto& object : namespaces_) {
    object->attributes.index.clear();
    const auto entries = std::move(object->attributes.entries);
    object->attributes.entries.clear();
  }
}

Result<Text> Interp::run(std::vector<std::pair<std::string, Value>> variables) {
  const auto context = std::make_shared<Scope>(nullptr);
  for (NameId id = 0; id < program_.names.size(); ++id) {
    const std::string& name = program_.names[id];
    Value value = builtin_function(name);
    for (auto& [given, v] : variables)
      if (given == name) value = v;
    if (!value.missing()) context->variables.emplace_back(id, std::move(value));
  }
  const auto top = std::make_shared<Scope>(context);
  Text out;
  out_ = &out;
  auto flow = exec(program_.body, top);
  out_ = nullptr;
  keep(top);
  keep(context);
  if (!flow.ok()) return std::move(flow).error();
  return out;
}

Status Interp::charge(uint64_t steps) {
  steps_ += steps;
  if (steps_ > limits_.steps) return limit_error("the template takes more than " + std::to_string(limits_.steps) + " steps");
  return {};
}

Status Interp::check_size(uint64_t bytes) const {
  if (bytes > limits_.output_bytes) {
    return limit_error("the template makes a text of more than " + std::to_string(limits_.output_bytes) + " bytes");
  }
  return {};
}

Status Interp::check_items(uint64_t items) const {
  if (items > limits_.items) {
    return limit_error("the template makes a list of more than " + std::to_string(limits_.items) + " items");
  }
  return {};
}

Result<Value> Interp::make_string(Text text, bool markup) {
  LAHAR_TRY(check_size(text.size()));
  LAHAR_TRY(charge_bytes(text.size()));
  LAHAR_TRY(charge(text.runs().size()));
  return Value::string(std::move(text), markup);
}

Status check_shape(const Value& value) {
  if (value.depth() > kMaxDepth) return limit_error("the template nests values deeper than " + std::to_string(kMaxDepth));
  if (value.weight() > kMaxValueWeight) return limit_error("the template makes a value that is too large");
  return {};
}

Result<Value> Interp::make_seq(SeqKind kind, std::vector<Value> items) {
  LAHAR_TRY(check_items(items.size()));
  LAHAR_TRY(charge(1 + 2 * items.size()));
  Value value = Value::seq(kind, std::move(items));
  LAHAR_TRY(check_shape(value));
  return value;
}

Result<Value> Interp::make_dict(std::shared_ptr<DictObj> dict) {
  LAHAR_TRY(check_items(dict->entries.size()));
  LAHAR_TRY(charge(1 + 4 * dict->entries.size()));
  Value value = Value::dict(std::move(dict));
  LAHAR_TRY(check_shape(value));
  return value;
}

Result<Value> Interp::make_iter(uint32_t depth, std::function<Status(Value& out)> next, const char* type_name) {
  auto iter = std::make_shared<IterObj>();
  iter->next = std::move(next);
  iter->type_name = type_name;
  iter->depth = depth + 1;
  LAHAR_TRY(charge(4));
  Value value = Value::iter(std::move(iter));
  LAHAR_TRY(check_shape(value));
  return value;
}

Value Interp::make_namespace(std::shared_ptr<NamespaceObj> object) {
  namespaces_.push_back(object);
  return Value::of(Kind::kNamespace, std::move(object));
}

Result<bool> Interp::equals(const Value& a, const Value& b) {
  LAHAR_TRY(charge(std::min(a.weight(), b.weight()) / 4));
  return equal(a, b);
}

Result<bool> Interp::contains(const Value& container, const Value& item) {
  switch (container.kind()) {
    case Kind::kString: {
      if (item.undefined()) return undefined_error(item);
      if (!item.is_string()) { return type_error("'in <string>' requires string as left operand, not " + type_name(item)); }
      LAHAR_TRY(charge_bytes(container.text().size()));
      return container.str().find(item.str()) != std::string::npos;
    }
    case Kind::kDict:
      if (!hashable(item)) return type_error("unhashable type: '" + type_name(item) + "'");
      LAHAR_TRY(charge(1 + item.weight() / 4));
      return container.dict().find(item) != nullptr;
    case Kind::kRange:
      if (item.integral()) {
        const RangeObj& r = container.range();
        const int64_t i = item.as_int();
        const bool between = r.step > 0 ? i >= r.start && i < r.stop : i <= r.start && i > r.stop;
        return between && (static_cast<__int128>(i) - r.start) % r.step == 0;
      }
      break;
    case Kind::kSeq:
    case Kind::kIter:
    case Kind::kUndefined: break;
    default: return type_error("argument of type '" + type_name(container) + "' is not iterable");
  }
  LAHAR_ASSIGN(Cursor cursor, Cursor::over(*this, container));
  while (true) {
    Value other;
    LAHAR_TRY(cursor.next(*this, other));
    if (other.missing()) return false;
    LAHAR_ASSIGN(const bool same, equals(other, item));
    if (same) return true;
  }
}

Result<std::vector<Value>> Interp::collect(const Value& iterable) {
  LAHAR_ASSIGN(Cursor cursor, Cursor::over(*this, iterable));
  std::vector<Value> items;
  while (true) {
    Value item;
    LAHAR_TRY(cursor.next(*this, item));
    if (item.missing()) return items;
    LAHAR_TRY(check_items(items.size() + 1));
    items.push_back(std::move(item));
  }
}

Result<Value> Interp::call(const Value& function, Args& args) {
  const Nested nested(depth_);
  if (depth_ > limits_.depth) return limit_error("the template calls deeper than " + std::to_string(limits_.depth));
  if (function.is(Kind::kCallable)) return function.callable().call(*this, args);
  if (function.is(Kind::kObject)) return function.object().call(*this, args);
  if (function.undefined() || function.missing()) return undefined_error(function);
  return type_error("'" + type_name(function) + "' object is not callable");
}

Result<Value> Interp::call_filter(std::string_view name, const Value& input, Args& args) {
  const FilterFunction filter = find_filter(name);
  if (filter == nullptr) return runtime_error("TemplateRuntimeError: No filter named '" + std::string(name) + "'.");
  const Nested nested(depth_);
  if (depth_ > limits_.depth) return limit_error("the template calls deeper than " + std::to_string(limits_.depth));
  return filter(*this, input, args);
}

Result<bool> Interp::call_test(std::string_view name, const Value& input, Args& args) {
  const TestFunction test = find_test(name);
  if (test == nullptr) return runtime_error("TemplateRuntimeError: No test named '" + std::string(name) + "'.");
  return test(*this, input, args);
}

Result<Text> Interp::str(const Value& value) { return to_str(*this, value); }

Result<Cursor> Cursor::over(Interp& in, const Value& value) {
  switch (value.kind()) {
    case Kind::kUndefined:
    case Kind::kString:
    case Kind::kSeq:
    case Kind::kDict:
    case Kind::kRange:
    case Kind::kIter: {
      LAHAR_TRY(in.charge(1));
      Cursor cursor;
      cursor.value_ = value;
      return cursor;
    }
    default: return type_error("'" + type_name(value) + "' object is not iterable");
  }
}

Status Cursor::next(Interp& in, Value& out) {
  LAHAR_TRY(in.charge(1));
  out = Value();
  switch (value_.kind()) {
    case Kind::kString: {
      const Text& text = value_.text();
      if (position_ >= text.size()) return {};
      const size_t size = decode(text.view(), position_).size;
      out = Value::string(text.substr(position_, position_ + size));
      position_ += size;
      return {};
    }
    case Kind::kSeq:
      if (position_ < value_.items().size()) out = value_.items()[position_++];
      return {};
    case Kind::kDict:
      if (position_ < value_.dict().entries.size()) out = value_.dict().entries[position_++].first;
      return {};
    case Kind::kRange:
      if (static_cast<int64_t>(position_) < value_.range().size) {
        out = Value::integer(value_.range().at(static_cast<int64_t>(position_++)));
      }
      return {};
    case Kind::kIter: return value_.iter().next(out);
    default: return {};
  }
}

std::optional<size_t> Cursor::length() const {
  switch (value_.kind()) {
    case Kind::kString: return code_points(value_.str());
    case Kind::kSeq: return value_.items().size();
    case Kind::kDict: return value_.dict().entries.size();
    case Kind::kRange: return static_cast<size_t>(value_.range().size);
    case Kind::kIter: return std::nullopt;
    default: return 0;
  }
}

Value native(std::string name, uint32_t depth, std::function<Result<Value>(Interp&, Args&)> function) {
  auto object = std::make_shared<NativeFunction>(std::move(name), std::move(function));
  object->depth = depth + 1;
  return Value::of(Kind::kCallable, std::move(object));
}

uint32_t depth_of(const Args& args) {
  uint32_t depth = 0;
  for (const Value& value : args.positional) depth = std::max(depth, value.depth());
  for (const auto& [_, value] : args.named) depth = std::max(depth, value.depth());
  return depth;
}

Result<std::vector<Value>> bind(const Args& args, std::string_view function,
                                std::initializer_list<std::string_view> parameters, size_t required) {
  const std::string name(function);
  if (args.positional.size() > parameters.size()) {
    return type_error(name + "() takes at most " + std::to_string(parameters.size()) + " arguments (" +
                      std::to_string(args.positional.size()) + " given)");
  }
  std::vector<Value> out(args.positional);
  out.resize(parameters.size());
  for (const auto& [key, value] : args.named) {
    const auto at = std::find(parameters.begin(), parameters.end(), key);
    if (at == parameters.end()) return type_error(name + "() got an unexpected keyword argument '" + key + "'");
    Value& slot = out[static_cast<size_t>(at - parameters.begin())];
    if (!slot.missing()) return type_error(name + "() got multiple values for argument '" + key + "'");
    slot = value;
  }
  for (size_t i = 0; i < required; ++i) {
    if (out[i].missing()) {
      return type_error(name + "() missing required argument: '" + std::string(*(parameters.begin() + i)) + "'");
    }
  }
  return out;
}

Result<int64_t> int_argument(const Value& value, int64_t otherwise, std::string_view what) {
  if (value.missing() || value.none_value()) return otherwise;
  if (value.undefined()) return undefined_error(value);
  if (!value.integral()) {
    return type_error(std::string(what) + ": '" + type_name(value) + "' object cannot be interpreted as an integer");
  }
  return value.as_int();
}

Result<Text> text_argument(const Value& value, std::string_view what) {
  if (value.is_string()) return value.text();
  if (value.undefined()) return undefined_error(value);
  return type_error(std::string(what) + " must be str, not " + type_name(value));
}

}  // namespace lahar::jinja
