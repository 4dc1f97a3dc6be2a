// One rendering of a template. Not for use by several threads; lives as long as the values it made are used.
#pragma once

#include <ctime>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "text/chat_template.h"
#include "text/jinja/ast.h"
#include "text/jinja/value.h"

namespace lahar::jinja {

// The variables of one scope, and the scope around it.
struct Scope {
  std::shared_ptr<Scope> parent;
  std::vector<std::pair<NameId, Value>> variables;

  explicit Scope(std::shared_ptr<Scope> around) : parent(std::move(around)) {}
  void set(NameId id, Value value);
  const Value* find(NameId id) const;  // here and in the scopes around; null or missing: undefined
};
using ScopePtr = std::shared_ptr<Scope>;

// Walks over anything iterable. Copies of a cursor over a list walk on their own, those over an iterator share it.
class Cursor {
 public:
  // TypeError for what cannot be iterated.
  static Result<Cursor> over(Interp& in, const Value& value);
  Status next(Interp& in, Value& out);   // leaves `out` missing at the end
  std::optional<size_t> length() const;  // of the whole, where it is known without walking

 private:
  Value value_;
  size_t position_ = 0;  // item, entry, or byte of a string
};

enum class Flow { kNormal, kBreak, kContinue };

class Interp {
 public:
  Interp(const Program& program, const TemplateLimits& limits, std::tm now)
      : program_(program), limits_(limits), now_(now) {}
  ~Interp();
  Interp(const Interp&) = delete;
  Interp& operator=(const Interp&) = delete;

  // variables: what the template can name beside the built-in functions.
  Result<Text> run(std::vector<std::pair<std::string, Value>> variables);

  // Bounds. A step is about what evaluating a small expression takes.
  Status charge(uint64_t steps);
  Status charge_bytes(uint64_t bytes) { return charge(1 + bytes / 16); }
  Status check_size(uint64_t bytes) const;  // of a string about to be made
  Status check_items(uint64_t items) const;
  const TemplateLimits& limits() const { return limits_; }
  // Strings, sequences and dicts are made through these, which charge for them and check the bounds.
  Result<Value> make_string(Text text, bool markup = false);
  Result<Value> make_seq(SeqKind kind, std::vector<Value> items);
  Result<Value> make_list(std::vector<Value> items) { return make_seq(SeqKind::kList, std::move(items)); }
  Result<Value> make_tuple(std::vector<Value> items) { return make_seq(SeqKind::kTuple, std::move(items)); }
  Result<Value> make_dict(std::shared_ptr<DictObj> dict);
  // depth: of the deepest value that `next` holds on to.
  Result<Value> make_iter(uint32_t depth, std::function<Status(Value& out)> next, const char* type_name = "generator");
  Value make_namespace(std::shared_ptr<NamespaceObj> object);

  Result<bool> equals(const Value& a, const Value& b);
  Result<bool> contains(const Value& container, const Value& item);
  Result<std::vector<Value>> collect(const Value& iterable);  // list(iterable)
  Result<Value> call(const Value& function, Args& args);
  Result<Value> call_filter(std::string_view name, const Value& input, Args& args);
  Result<bool> call_test(std::string_view name, const Value& input, Args& args);
  Result<Text> str(const Value& value);  // Python's str()

  const std::tm& now() const { return now_; }
  const Program& program() const { return program_; }
  int error_line() const { return error_line_; }  // 0 where no statement failed
  void mark_raised() { raised_ = true; }
  bool raised() const { return raised_; }  // the template called raise_exception

  // For macros and loops.
  Result<Value> call_macro(const Macro& macro, const ScopePtr& around, Args& args);
  Result<Value> call_loop(const Stmt& loop, const ScopePtr& around, const Value& iterable, int64_t depth);
  Result<Value> eval(const Expr& expr, const ScopePtr& scope);

 private:
  struct Nested {
    explicit Nested(uint32_t& depth) : depth(++depth) {}
    ~Nested() { --depth; }
    Nested(const Nested&) = delete;
    Nested& operator=(const Nested&) = delete;
    uint32_t& depth;
  };

  // interp_stmt.cpp
  Result<Flow> exec(const Body& body, const ScopePtr& scope);
  Result<Flow> exec(const std::vector<StmtPtr>& statements, const ScopePtr& scope);
  Result<Flow> exec(const Stmt& stmt, const ScopePtr& scope);
  Result<Flow> exec_if(const Stmt& stmt, const ScopePtr& scope);
  Result<Flow> exec_with(const Stmt& stmt, const ScopePtr& scope);
  Status exec_output(const Stmt& stmt, const ScopePtr& scope);
  Result<Flow> exec_set_block(const Stmt& stmt, const ScopePtr& scope);
  Result<Flow> exec_filter_block(const Stmt& stmt, const ScopePtr& scope);
  Status exec_call_block(const Stmt& stmt, const ScopePtr& scope);
  Result<Flow> exec_for(const Stmt& stmt, const ScopePtr& scope, const Value& iterable, int64_t depth);
  Result<Value> filtered(const Stmt& stmt, const ScopePtr& scope, const Value& iterable);
  Result<Flow> capture(const Body& body, const ScopePtr& scope, Text& out);
  Status write(const Value& value);
  Status assign(const Expr& target, Value value, const ScopePtr& scope);
  void keep(const ScopePtr& scope) { kept_scopes_.push_back(scope); }

  // interp_expr.cpp
  Result<Value> eval_node(const Expr& expr, const ScopePtr& scope);
  Result<Value> eval_name(const Expr& expr, const ScopePtr& scope);
  Result<Value> eval_sequence(const Expr& expr, const ScopePtr& scope);
  Result<Value> eval_dict(const Expr& expr, const ScopePtr& scope);
  Result<Value> eval_condition(const Expr& expr, const ScopePtr& scope);
  Result<Value> eval_logic(const Expr& expr, const ScopePtr& scope);
  Result<Value> eval_compare(const Expr& expr, const ScopePtr& scope);
  Result<Value> eval_binary(const Expr& expr, const ScopePtr& scope);
  Result<Value> eval_concat(const Expr& expr, const ScopePtr& scope);
  Result<Value> eval_sign(const Expr& expr, const ScopePtr& scope);
  Result<Value> eval_item(const Expr& expr, const ScopePtr& scope);
  Result<Value> eval_call(const Expr& expr, const ScopePtr& scope, const Value* caller = nullptr);
  Result<Value> eval_filter(const Expr& expr, const ScopePtr& scope, const Value* captured);
  Result<Value> eval_test(const Expr& expr, const ScopePtr& scope);
  Status eval_arguments(const Expr& expr, const ScopePtr& scope, Args& args);
  Result<bool> compare_once(Op op, const Value& a, const Value& b);

  const Program& program_;
  TemplateLimits limits_;
  std::tm now_;
  uint64_t steps_ = 0;
  uint32_t depth_ = 0;
  Text* out_ = nullptr;
  int error_line_ = 0;
  bool raised_ = false;
  // Namespaces and scopes can hold one another in circles; they are emptied at the end.
  std::vector<std::shared_ptr<NamespaceObj>> namespaces_;
  std::vector<ScopePtr> kept_scopes_;
};

// Python's attribute and item access under the immutable sandbox: undefined where there is nothing.
Result<Value> get_attribute(Interp& in, const Value& object, std::string_view name);
Result<Value> get_item(Interp& in, const Value& object, const Value& key);
Result<Value> get_slice(Interp& in, const Value& object, const Value& start, const Value& stop, const Value& step);
// The attribute alone, without falling back on items; missing where there is none.
Result<Value> attribute_only(Interp& in, const Value& object, std::string_view name);

// Arithmetic and concatenation; every operator but comparisons.
Result<Value> binary_op(Interp& in, Op op, const Value& a, const Value& b);
Result<Value> negate(const Value& value);
Result<Value> positive(const Value& value);

// A function of the interpreter as a value. depth: of the deepest value it holds on to.
Value native(std::string name, uint32_t depth, std::function<Result<Value>(Interp&, Args&)> function);
// kLimit for a value that is too deep or too large.
Status check_shape(const Value& value);
uint32_t depth_of(const Args& args);
// The built-in functions: range, dict, namespace, ... Missing where there is no such name.
Value builtin_function(std::string_view name);

// The arguments by parameter: positional ones first, then named ones. Missing where none was given. TypeError where
// there are too many, an unknown name, or fewer than `required`.
Result<std::vector<Value>> bind(const Args& args, std::string_view function,
                                std::initializer_list<std::string_view> parameters, size_t required);
// An argument that has to be an integer (None and missing give `otherwise`).
Result<int64_t> int_argument(const Value& value, int64_t otherwise, std::string_view what);
Result<Text> text_argument(const Value& value, std::string_view what);  // has to be a string

}  // namespace lahar::jinja
