#pragma once

#include <initializer_list>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "text/jinja/ast.h"
#include "text/jinja/token.h"

namespace lahar::jinja {

// kFormat with the line for what is not a template; kLimit for one too large or too deep.
Result<std::shared_ptr<const Program>> parse_program(std::string_view source);

class Parser {
 public:
  explicit Parser(std::vector<Token> tokens) : tokens_(std::move(tokens)) {}
  Result<std::shared_ptr<const Program>> run();

 private:
  using Names = std::initializer_list<std::string_view>;
  static constexpr int kMaxNesting = 100;      // of statements, and of brackets and the like in expressions
  static constexpr uint32_t kMaxHeight = 250;  // of an expression's tree

  const Token& current() const { return tokens_[pos_]; }
  const Token& look() const { return tokens_[std::min(pos_ + 1, tokens_.size() - 1)]; }
  void next() {
    if (pos_ + 1 < tokens_.size()) ++pos_;
  }
  bool skip_op(std::string_view op);
  bool skip_name(std::string_view name);
  Status expect_op(std::string_view op);
  Status expect_name(std::string_view name);
  Status expect(Tok type, std::string_view what);
  Error fail(std::string_view message) const { return syntax_error(current().line, message); }
  Error unexpected(std::string_view wanted) const;

  // Statements (parser.cpp)
  Result<std::vector<StmtPtr>> statements(Names ends);  // stops at one of `ends`, inside its tag; empty: at the end
  Result<std::vector<StmtPtr>> block_body(Names ends);  // the same behind the end of an opening tag
  Status closed_body(std::string_view end, std::vector<StmtPtr>& out);
  Result<StmtPtr> statement(Names ends);
  Result<StmtPtr> set_statement();
  Result<StmtPtr> for_statement();
  Result<StmtPtr> if_statement();
  Result<StmtPtr> macro_statement();
  Result<StmtPtr> call_statement();
  Result<StmtPtr> generation_statement();
  Result<StmtPtr> filter_statement();
  Result<StmtPtr> with_statement();
  Result<StmtPtr> block_statement();
  Result<StmtPtr> autoescape_statement();
  Result<StmtPtr> print_statement();
  Status signature(Macro& macro);
  Status macro_body(Macro& macro, std::string_view end);
  Result<ExprPtr> assign_target(bool in_for, bool with_namespace);
  Status check_target(const Expr& target) const;

  // Expressions (parser_expr.cpp)
  Result<ExprPtr> expression(bool with_condition = true);
  Result<ExprPtr> condition();
  Result<ExprPtr> logical_or();
  Result<ExprPtr> logical_and();
  Result<ExprPtr> logical_not();
  Result<ExprPtr> comparison();
  Result<ExprPtr> sum();
  Result<ExprPtr> concatenation();
  Result<ExprPtr> product();
  Result<ExprPtr> power();
  Result<ExprPtr> unary(bool with_filter = true);
  Result<ExprPtr> primary(bool with_namespace = false);
  Result<ExprPtr> number();
  struct TupleRules {
    bool simplified = false, with_condition = true, parentheses = false, with_namespace = false;
    std::string_view end;  // a name that ends the tuple
  };
  Result<ExprPtr> tuple(TupleRules rules);
  Result<ExprPtr> list();
  Result<ExprPtr> dict();
  Result<ExprPtr> postfix(ExprPtr node);
  Result<ExprPtr> filters_and_tests(ExprPtr node);
  Result<ExprPtr> subscript(ExprPtr node);
  Result<ExprPtr> subscribed();
  Result<ExprPtr> call(ExprPtr node);
  Status call_arguments(Expr& node);
  Result<ExprPtr> filter(ExprPtr node, bool inline_start);
  Result<ExprPtr> test(ExprPtr node);
  Result<std::string> dotted_name();

  ExprPtr make(ExprKind kind, int line) const;
  Result<ExprPtr> finish(ExprPtr node);  // computes and checks the height
  Result<ExprPtr> binary(ExprKind kind, int line, ExprPtr left, ExprPtr right);
  NameId intern(const std::string& name);

  // Counts nesting for as long as it lives.
  struct Nested {
    explicit Nested(int& depth) : depth(++depth) {}
    ~Nested() { --depth; }
    Nested(const Nested&) = delete;
    Nested& operator=(const Nested&) = delete;
    int& depth;
  };

  std::vector<Token> tokens_;
  size_t pos_ = 0;
  int depth_ = 0;
  int loop_depth_ = 0;  // loops around, inside the innermost macro
  std::shared_ptr<Program> program_ = std::make_shared<Program>();
  std::unordered_map<std::string, NameId> ids_;
  std::vector<Macro*> macros_;  // those being parsed
};

// Resolves filters and tests, and finds the hidden names of every scope (see Body).
Status analyze(Program& program);

}  // namespace lahar::jinja
