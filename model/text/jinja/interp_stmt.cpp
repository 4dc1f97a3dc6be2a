// Statements.
#include <algorithm>

#include "text/jinja/interp.h"
#include "text/jinja/loop.h"
#include "text/jinja/repr.h"

namespace lahar::jinja {

namespace {

class MacroFunction : public CallableObj {
 public:
  MacroFunction(const Macro& macro, ScopePtr around) : macro_(macro), around_(std::move(around)) {}
  Result<Value> call(Interp& in, Args& args) const override { return in.call_macro(macro_, around_, args); }
  std::string describe() const override {
    return macro_.name.empty() ? "<Macro anonymous>" : "<Macro '" + macro_.name + "'>";
  }
  const char* type_name() const override { return "Macro"; }
  Value attribute(std::string_view name) const override {
    if (name == "name") return macro_.name.empty() ? Value::none() : Value::string(macro_.name);
    if (name == "catch_kwargs") return Value::boolean(macro_.uses_kwargs);
    if (name == "catch_varargs") return Value::boolean(macro_.uses_varargs);
    if (name == "caller") return Value::boolean(macro_.uses_caller);
    return {};
  }

 private:
  const Macro& macro_;
  ScopePtr around_;
};

// Puts the buffer that was written to before back in place.
class Redirect {
 public:
  Redirect(Text*& out, Text& to) : out_(out), before_(out) { out_ = &to; }
  ~Redirect() { out_ = before_; }
  Redirect(const Redirect&) = delete;
  Redirect& operator=(const Redirect&) = delete;

 private:
  Text*& out_;
  Text* before_;
};

}  // namespace

Result<Flow> Interp::exec(const Body& body, const ScopePtr& scope) {
  for (NameId id : body.hidden) scope->set(id, Value());
  return exec(body.statements, scope);
}

Result<Flow> Interp::exec(const std::vector<StmtPtr>& statements, const ScopePtr& scope) {
  for (const StmtPtr& stmt : statements) {
    auto flow = exec(*stmt, scope);
    if (!flow.ok() || *flow != Flow::kNormal) return flow;
  }
  return Flow::kNormal;
}

Result<Flow> Interp::exec(const Stmt& stmt, const ScopePtr& scope) {
  LAHAR_TRY(charge(1 + scope->variables.size() / 16));
  const Nested nested(depth_);
  if (depth_ > limits_.depth) return limit_error("the template nests deeper than " + std::to_string(limits_.depth));
  const auto run = [&]() -> Result<Flow> {
    switch (stmt.kind) {
      case StmtKind::kOutput: LAHAR_TRY(exec_output(stmt, scope)); return Flow::kNormal;
      case StmtKind::kSet: {
        LAHAR_ASSIGN(Value value, eval(*stmt.exprs[0], scope));
        LAHAR_TRY(assign(*stmt.target, std::move(value), scope));
        return Flow::kNormal;
      }
      case StmtKind::kSetBlock: return exec_set_block(stmt, scope);
      case StmtKind::kIf: return exec_if(stmt, scope);
      case StmtKind::kFor: {
        LAHAR_ASSIGN(const Value iterable, eval(*stmt.exprs[0], scope));
        if (!stmt.recursive) return exec_for(stmt, scope, iterable, 0);
        LAHAR_ASSIGN(const Value text, call_loop(stmt, scope, iterable, 0));
        LAHAR_TRY(write(text));
        return Flow::kNormal;
      }
      case StmtKind::kMacro:
        keep(scope);
        scope->set(stmt.macro->id, Value::of(Kind::kCallable, std::make_shared<MacroFunction>(*stmt.macro, scope)));
        return Flow::kNormal;
      case StmtKind::kCallBlock: LAHAR_TRY(exec_call_block(stmt, scope)); return Flow::kNormal;
      case StmtKind::kFilterBlock: return exec_filter_block(stmt, scope);
      case StmtKind::kWith: return exec_with(stmt, scope);
      case StmtKind::kScope: return exec(stmt.body, std::make_shared<Scope>(scope));
      case StmtKind::kGeneration: return exec(stmt.macro->body, std::make_shared<Scope>(scope));
      case StmtKind::kBreak: return Flow::kBreak;
      case StmtKind::kContinue: return Flow::kContinue;
    }
    return Flow::kNormal;
  };
  auto flow = run();
  if (!flow.ok() && error_line_ == 0) error_line_ = stmt.line;
  return flow;
}

Result<Flow> Interp::exec_if(const Stmt& stmt, const ScopePtr& scope) {
  for (size_t i = 0; i < stmt.branches.size(); ++i) {
    LAHAR_ASSIGN(const Value test, eval(*stmt.exprs[i], scope));
    if (truthy(test)) return exec(stmt.branches[i].statements, scope);
  }
  return exec(stmt.otherwise.statements, scope);
}

Result<Flow> Interp::exec_with(const Stmt& stmt, const ScopePtr& scope) {
  const auto inner = std::make_shared<Scope>(scope);
  for (size_t i = 0; i < stmt.targets.size(); ++i) {
    LAHAR_ASSIGN(Value value, eval(*stmt.exprs[i], scope));
    LAHAR_TRY(assign(*stmt.targets[i], std::move(value), inner));
  }
  return exec(stmt.body, inner);
}

Status Interp::write(const Value& value) {
  if (value.is_string()) {
    LAHAR_TRY(check_size(out_->size() + value.text().size()));
    LAHAR_TRY(charge_bytes(value.text().size()));
    out_->append(value.text());
    return {};
  }
  LAHAR_ASSIGN(const Text text, to_str(*this, value));
  LAHAR_TRY(check_size(out_->size() + text.size()));
  out_->append(text);
  return {};
}

Status Interp::exec_output(const Stmt& stmt, const ScopePtr& scope) {
  for (const ExprPtr& expr : stmt.exprs) {
    LAHAR_ASSIGN(const Value value, eval(*expr, scope));
    LAHAR_TRY(write(value));
  }
  return {};
}

Result<Flow> Interp::capture(const Body& body, const ScopePtr& scope, Text& out) {
  const Redirect redirect(out_, out);
  return exec(body, scope);
}

Result<Flow> Interp::exec_set_block(const Stmt& stmt, const ScopePtr& scope) {
  Text text;
  const auto inner = std::make_shared<Scope>(scope);
  LAHAR_ASSIGN(const Flow flow, capture(stmt.body, inner, text));
  if (flow != Flow::kNormal) return flow;
  LAHAR_ASSIGN(Value value, make_string(std::move(text)));
  if (stmt.exprs[0]) { LAHAR_ASSIGN(value, eval_filter(*stmt.exprs[0], inner, &value)); }
  LAHAR_TRY(assign(*stmt.target, std::move(value), scope));
  return Flow::kNormal;
}

Result<Flow> Interp::exec_filter_block(const Stmt& stmt, const ScopePtr& scope) {
  Text text;
  const auto inner = std::make_shared<Scope>(scope);
  LAHAR_ASSIGN(const Flow flow, capture(stmt.body, inner, text));
  if (flow != Flow::kNormal) return flow;
  LAHAR_ASSIGN(Value value, make_string(std::move(text)));
  LAHAR_ASSIGN(value, eval_filter(*stmt.exprs[0], inner, &value));
  LAHAR_TRY(write(value));
  return Flow::kNormal;
}

Status Interp::exec_call_block(const Stmt& stmt, const ScopePtr& scope) {
  keep(scope);
  const Value caller = Value::of(Kind::kCallable, std::make_shared<MacroFunction>(*stmt.macro, scope));
  LAHAR_ASSIGN(const Value value, eval_call(*stmt.exprs[0], scope, &caller));
  return write(value);
}

Status Interp::assign(const Expr& target, Value value, const ScopePtr& scope) {
  if (target.kind == ExprKind::kName) {
    scope->set(target.id, std::move(value));
    return {};
  }
  if (target.kind == ExprKind::kNsRef) {
    const Value* object = scope->find(target.id);
    if (object == nullptr || !object->is(Kind::kNamespace)) {
      return runtime_error("TemplateRuntimeError: cannot assign attribute on non-namespace object");
    }
    LAHAR_TRY(charge(1 + object->ns().attributes.entries.size() / 16));
    object->ns().attributes.set(Value::string(target.text), std::move(value));
    return {};
  }
  LAHAR_ASSIGN(Cursor cursor, Cursor::over(*this, value));
  const size_t wanted = target.items.size();
  std::vector<Value> items;
  while (true) {
    Value item;
    LAHAR_TRY(cursor.next(*this, item));
    if (item.missing()) break;
    if (items.size() == wanted) return value_error("too many values to unpack (expected " + std::to_string(wanted) + ")");
    items.push_back(std::move(item));
  }
  if (items.size() < wanted) {
    return value_error("not enough values to unpack (expected " + std::to_string(wanted) + ", got " +
                       std::to_string(items.size()) + ")");
  }
  for (size_t i = 0; i < wanted; ++i) LAHAR_TRY(assign(*target.items[i], std::move(items[i]), scope));
  return {};
}

// The items that pass the loop's condition, found one by one while the loop runs.
Result<Value> Interp::filtered(const Stmt& stmt, const ScopePtr& scope, const Value& iterable) {
  LAHAR_ASSIGN(const Cursor start, Cursor::over(*this, iterable));
  auto next = [this, &stmt, scope, cursor = start](Value& out) mutable -> Status {
    while (true) {
      LAHAR_TRY(cursor.next(*this, out));
      if (out.missing()) return {};
      const auto inner = std::make_shared<Scope>(scope);
      LAHAR_TRY(assign(*stmt.target, out, inner));
      LAHAR_ASSIGN(const Value test, eval(*stmt.exprs[1], inner));
      if (truthy(test)) return {};
    }
  };
  return make_iter(iterable.depth(), std::move(next));
}

Result<Flow> Interp::exec_for(const Stmt& stmt, const ScopePtr& scope, const Value& iterable, int64_t depth) {
  Value source = iterable;
  if (stmt.exprs[1]) { LAHAR_ASSIGN(source, filtered(stmt, scope, iterable)); }
  LAHAR_ASSIGN(Cursor cursor, Cursor::over(*this, source));
  const auto loop = std::make_shared<LoopObject>(std::move(cursor), depth, stmt.recursive ? &stmt : nullptr,
                                                 stmt.recursive ? scope : nullptr);
  const Value loop_value = Value::of(Kind::kObject, loop);
  struct Finish {
    LoopObject& loop;
    ~Finish() { loop.finish(); }
  } finish{*loop};
  bool ran = false;
  while (true) {
    Value item;
    LAHAR_TRY(loop->advance(*this, item));
    if (item.missing()) break;
    const auto inner = std::make_shared<Scope>(scope);
    inner->variables.emplace_back(program_.loop, loop_value);
    LAHAR_TRY(assign(*stmt.target, std::move(item), inner));
    LAHAR_ASSIGN(const Flow flow, exec(stmt.body, inner));
    // As in Jinja, what leaves the very first pass early leaves the else branch in force.
    if (flow == Flow::kBreak) break;
    if (flow == Flow::kNormal) ran = true;
  }
  if (ran || stmt.otherwise.statements.empty()) return Flow::kNormal;
  return exec(stmt.otherwise, std::make_shared<Scope>(scope));
}

Result<Value> Interp::call_loop(const Stmt& loop, const ScopePtr& around, const Value& iterable, int64_t depth) {
  Text text;
  {
    const Redirect redirect(out_, text);
    LAHAR_ASSIGN(const Flow flow, exec_for(loop, around, iterable, depth));
    static_cast<void>(flow);
  }
  return make_string(std::move(text));
}

Result<Value> Interp::call_macro(const Macro& macro, const ScopePtr& around, Args& args) {
  const std::string name = macro.name.empty() ? "None" : "'" + macro.name + "'";
  const auto scope = std::make_shared<Scope>(around);
  const auto take_named = [&](std::string_view key) {
    Value value;
    const auto at = std::find_if(args.named.begin(), args.named.end(), [&](const auto& arg) { return arg.first == key; });
    if (at != args.named.end()) {
      value = std::move(at->second);
      args.named.erase(at);
    }
    return value;
  };
  const size_t count = macro.parameters.size();
  const size_t given = std::min(count, args.positional.size());
  bool found_caller = false;
  for (size_t i = 0; i < count; ++i) {
    const NameId id = macro.parameters[i];
    if (id == program_.caller) found_caller = true;
    scope->variables.emplace_back(id, i < given ? args.positional[i] : take_named(program_.names[id]));
  }
  if (macro.uses_caller && !found_caller) {
    Value caller = take_named("caller");
    scope->set(program_.caller, caller.missing() || caller.none_value() ? Value::undefined("No caller defined") : caller);
  }
  if (macro.uses_kwargs &&
      scope->variables.end() == std::find_if(scope->variables.begin(), scope->variables.end(),
                                             [&](const auto& v) { return v.first == program_.kwargs; })) {
    auto dict = std::make_shared<DictObj>();
    for (auto& [key, value] : args.named) dict->set(Value::string(key), std::move(value));
    LAHAR_ASSIGN(Value kwargs, make_dict(std::move(dict)));
    scope->set(program_.kwargs, std::move(kwargs));
  } else if (!args.named.empty()) {
    return type_error("macro " + name + " takes no keyword argument '" + args.named.front().first + "'");
  }
  std::vector<Value> rest(args.positional.begin() + static_cast<std::ptrdiff_t>(given), args.positional.end());
  const bool own_varargs =
      std::find(macro.parameters.begin(), macro.parameters.end(), program_.varargs) != macro.parameters.end();
  if (macro.uses_varargs && !own_varargs) {
    LAHAR_ASSIGN(Value varargs, make_tuple(std::move(rest)));
    scope->set(program_.varargs, std::move(varargs));
  } else if (!rest.empty()) {
    return type_error("macro " + name + " takes not more than " + std::to_string(count) + " argument(s)");
  }
  const size_t first_default = count - macro.defaults.size();
  for (size_t i = given; i < count; ++i) {
    if (!scope->variables[i].second.missing()) continue;
    Value value;
    if (i < first_default) {
      value = Value::undefined("parameter '" + program_.names[macro.parameters[i]] + "' was not provided");
    } else {
      LAHAR_ASSIGN(value, eval(*macro.defaults[i - first_default], scope));
    }
    scope->variables[i].second = std::move(value);
  }
  Text text;
  LAHAR_ASSIGN(const Flow flow, capture(macro.body, scope, text));
  static_cast<void>(flow);
  return make_string(std::move(text));
}

}  // namespace lahar::jinja
