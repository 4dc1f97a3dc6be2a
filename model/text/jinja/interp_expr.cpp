// Expressions.
#include <algorithm>

#include "text/jinja/filters.h"
#include "text/jinja/interp.h"
#include "text/jinja/repr.h"

namespace lahar::jinja {

Result<Value> Interp::eval(const Expr& expr, const ScopePtr& scope) {
  LAHAR_TRY(charge(1));
  if (expr.kind == ExprKind::kConst) return expr.value;
  if (expr.kind == ExprKind::kName) return eval_name(expr, scope);
  const Nested nested(depth_);
  if (depth_ > limits_.depth) return limit_error("the template nests deeper than " + std::to_string(limits_.depth));
  auto value = eval_node(expr, scope);
  if (!value.ok() && error_line_ == 0) error_line_ = expr.line;
  return value;
}

Result<Value> Interp::eval_node(const Expr& expr, const ScopePtr& scope) {
  switch (expr.kind) {
    case ExprKind::kTuple:
    case ExprKind::kList: return eval_sequence(expr, scope);
    case ExprKind::kDict: return eval_dict(expr, scope);
    case ExprKind::kCond: return eval_condition(expr, scope);
    case ExprKind::kOr:
    case ExprKind::kAnd:
    case ExprKind::kNot: return eval_logic(expr, scope);
    case ExprKind::kCompare: return eval_compare(expr, scope);
    case ExprKind::kBinary: return eval_binary(expr, scope);
    case ExprKind::kConcat: return eval_concat(expr, scope);
    case ExprKind::kNegative:
    case ExprKind::kPositive: return eval_sign(expr, scope);
    case ExprKind::kAttribute: {
      LAHAR_ASSIGN(const Value object, eval(*expr.items[0], scope));
      return get_attribute(*this, object, expr.text);
    }
    case ExprKind::kItem: return eval_item(expr, scope);
    case ExprKind::kCall: return eval_call(expr, scope);
    case ExprKind::kFilter: return eval_filter(expr, scope, nullptr);
    case ExprKind::kTest: return eval_test(expr, scope);
    default: return type_error("a slice is no value");
  }
}

Result<Value> Interp::eval_name(const Expr& expr, const ScopePtr& scope) {
  const Value* value = scope->find(expr.id);
  if (value == nullptr || value->missing()) return Value::undefined("'" + program_.names[expr.id] + "' is undefined");
  return *value;
}

Result<Value> Interp::eval_sequence(const Expr& expr, const ScopePtr& scope) {
  std::vector<Value> items;
  items.reserve(expr.items.size());
  for (const ExprPtr& item : expr.items) {
    LAHAR_ASSIGN(Value value, eval(*item, scope));
    items.push_back(std::move(value));
  }
  return make_seq(expr.kind == ExprKind::kList ? SeqKind::kList : SeqKind::kTuple, std::move(items));
}

Result<Value> Interp::eval_dict(const Expr& expr, const ScopePtr& scope) {
  auto dict = std::make_shared<DictObj>();
  for (size_t i = 0; i + 1 < expr.items.size(); i += 2) {
    LAHAR_ASSIGN(Value key, eval(*expr.items[i], scope));
    LAHAR_ASSIGN(Value value, eval(*expr.items[i + 1], scope));
    if (!hashable(key)) return type_error("unhashable type: '" + type_name(key) + "'");
    dict->set(std::move(key), std::move(value));
  }
  return make_dict(std::move(dict));
}

Result<Value> Interp::eval_condition(const Expr& expr, const ScopePtr& scope) {
  LAHAR_ASSIGN(const Value test, eval(*expr.items[1], scope));
  if (truthy(test)) return eval(*expr.items[0], scope);
  if (expr.items[2]) return eval(*expr.items[2], scope);
  return Value::undefined("the inline if-expression on line " + std::to_string(expr.line) +
                          " evaluated to false and no else section was defined.");
}

Result<Value> Interp::eval_logic(const Expr& expr, const ScopePtr& scope) {
  LAHAR_ASSIGN(Value left, eval(*expr.items[0], scope));
  if (expr.kind == ExprKind::kNot) return Value::boolean(!truthy(left));
  if (truthy(left) == (expr.kind == ExprKind::kOr)) return left;
  return eval(*expr.items[1], scope);
}

Result<bool> Interp::compare_once(Op op, const Value& a, const Value& b) {
  if (op == Op::kEq || op == Op::kNe) {
    LAHAR_ASSIGN(const bool same, equals(a, b));
    return same == (op == Op::kEq);
  }
  if (op == Op::kIn || op == Op::kNotIn) {
    LAHAR_ASSIGN(const bool found, contains(b, a));
    return found == (op == Op::kIn);
  }
  LAHAR_TRY(charge(std::min(a.weight(), b.weight()) / 4));
  const char* name = op == Op::kLt ? "<" : op == Op::kLe ? "<=" : op == Op::kGt ? ">" : ">=";
  LAHAR_ASSIGN(const int order, compare(a, b, name));
  if (order == 2) return false;
  switch (op) {
    case Op::kLt: return order < 0;
    case Op::kLe: return order <= 0;
    case Op::kGt: return order > 0;
    default: return order >= 0;
  }
}

Result<Value> Interp::eval_compare(const Expr& expr, const ScopePtr& scope) {
  LAHAR_ASSIGN(Value left, eval(*expr.items[0], scope));
  for (size_t i = 0; i < expr.ops.size(); ++i) {
    LAHAR_ASSIGN(Value right, eval(*expr.items[i + 1], scope));
    LAHAR_ASSIGN(const bool holds, compare_once(expr.ops[i], left, right));
    if (!holds) return Value::boolean(false);
    left = std::move(right);
  }
  return Value::boolean(true);
}

Result<Value> Interp::eval_binary(const Expr& expr, const ScopePtr& scope) {
  LAHAR_ASSIGN(const Value left, eval(*expr.items[0], scope));
  LAHAR_ASSIGN(const Value right, eval(*expr.items[1], scope));
  return binary_op(*this, expr.ops[0], left, right);
}

Result<Value> Interp::eval_concat(const Expr& expr, const ScopePtr& scope) {
  Text out;
  for (const ExprPtr& item : expr.items) {
    LAHAR_ASSIGN(const Value value, eval(*item, scope));
    if (value.is_string()) {
      out.append(value.text());
    } else {
      LAHAR_ASSIGN(const Text text, to_str(*this, value));
      out.append(text);
    }
    LAHAR_TRY(check_size(out.size()));
  }
  return make_string(std::move(out));
}

Result<Value> Interp::eval_sign(const Expr& expr, const ScopePtr& scope) {
  LAHAR_ASSIGN(const Value value, eval(*expr.items[0], scope));
  return expr.kind == ExprKind::kNegative ? negate(value) : positive(value);
}

Result<Value> Interp::eval_item(const Expr& expr, const ScopePtr& scope) {
  LAHAR_ASSIGN(const Value object, eval(*expr.items[0], scope));
  const Expr& index = *expr.items[1];
  if (index.kind == ExprKind::kSlice) {
    Value bounds[3];
    for (size_t i = 0; i < 3; ++i) {
      if (index.items[i]) {
        LAHAR_ASSIGN(bounds[i], eval(*index.items[i], scope));
      } else {
        bounds[i] = Value::none();
      }
    }
    return get_slice(*this, object, bounds[0], bounds[1], bounds[2]);
  }
  LAHAR_ASSIGN(const Value key, eval(index, scope));
  return get_item(*this, object, key);
}

Status Interp::eval_arguments(const Expr& expr, const ScopePtr& scope, Args& args) {
  for (size_t i = 1; i < expr.items.size(); ++i) {
    LAHAR_ASSIGN(Value value, eval(*expr.items[i], scope));
    args.positional.push_back(std::move(value));
  }
  for (const NamedExpr& named : expr.named) {
    LAHAR_ASSIGN(Value value, eval(*named.value, scope));
    args.named.emplace_back(named.name, std::move(value));
  }
  if (expr.star) {
    LAHAR_ASSIGN(const Value value, eval(*expr.star, scope));
    LAHAR_ASSIGN(std::vector<Value> more, collect(value));
    for (Value& item : more) args.positional.push_back(std::move(item));
  }
  if (expr.star_star) {
    LAHAR_ASSIGN(const Value value, eval(*expr.star_star, scope));
    if (!value.is(Kind::kDict)) return type_error("argument after ** must be a mapping, not " + type_name(value));
    for (const auto& [key, item] : value.dict().entries) {
      if (!key.is_string()) return type_error("keywords must be strings");
      const auto same = [&key = key](const auto& arg) { return arg.first == key.str(); };
      if (std::any_of(args.named.begin(), args.named.end(), same)) {
        return type_error("got multiple values for keyword argument '" + key.str() + "'");
      }
      LAHAR_TRY(charge(1 + args.named.size() / 8));
      args.named.emplace_back(key.str(), item);
    }
  }
  return {};
}

Result<Value> Interp::eval_call(const Expr& expr, const ScopePtr& scope, const Value* caller) {
  LAHAR_ASSIGN(const Value function, eval(*expr.items[0], scope));
  Args args;
  LAHAR_TRY(eval_arguments(expr, scope, args));
  if (caller != nullptr) args.named.emplace_back("caller", *caller);
  return call(function, args);
}

Result<Value> Interp::eval_filter(const Expr& expr, const ScopePtr& scope, const Value* captured) {
  const Nested nested(depth_);
  if (depth_ > limits_.depth) return limit_error("the template nests deeper than " + std::to_string(limits_.depth));
  if (expr.filter == nullptr) return runtime_error("TemplateRuntimeError: No filter named '" + expr.text + "' found.");
  // The chain of a filter or set block ends in a filter without an input.
  Value input;
  if (!expr.items[0]) {
    if (captured == nullptr) return runtime_error("TemplateRuntimeError: filter without an input");
    input = *captured;
  } else if (captured != nullptr && expr.items[0]->kind == ExprKind::kFilter) {
    LAHAR_ASSIGN(input, eval_filter(*expr.items[0], scope, captured));
  } else {
    LAHAR_ASSIGN(input, eval(*expr.items[0], scope));
  }
  Args args;
  LAHAR_TRY(eval_arguments(expr, scope, args));
  return expr.filter(*this, input, args);
}

Result<Value> Interp::eval_test(const Expr& expr, const ScopePtr& scope) {
  if (expr.test == nullptr) return runtime_error("TemplateRuntimeError: No test named '" + expr.text + "' found.");
  LAHAR_ASSIGN(const Value input, eval(*expr.items[0], scope));
  Args args;
  LAHAR_TRY(eval_arguments(expr, scope, args));
  LAHAR_ASSIGN(const bool holds, expr.test(*this, input, args));
  return Value::boolean(holds);
}

}  // namespace lahar::jinja
