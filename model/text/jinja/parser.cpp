#include "text/jinja/parser.h"

#include <algorithm>
#include <optional>

namespace lahar::jinja {

namespace {
constexpr size_t kMaxSource = 4u << 20;  // bytes; real templates have 1 to 30 KB
}

Result<std::shared_ptr<const Program>> parse_program(std::string_view source) {
  if (source.size() > kMaxSource) return limit_error("template of more than " + std::to_string(kMaxSource) + " bytes");
  LAHAR_ASSIGN(std::vector<Token> tokens, tokenize(source));
  return Parser(std::move(tokens)).run();
}

Result<std::shared_ptr<const Program>> Parser::run() {
  program_->loop = intern("loop");
  program_->caller = intern("caller");
  program_->varargs = intern("varargs");
  program_->kwargs = intern("kwargs");
  LAHAR_ASSIGN(program_->body.statements, statements({}));
  LAHAR_TRY(analyze(*program_));
  return std::shared_ptr<const Program>(program_);
}

NameId Parser::intern(const std::string& name) {
  const auto [it, added] = ids_.emplace(name, static_cast<NameId>(program_->names.size()));
  if (added) program_->names.push_back(name);
  for (Macro* macro : macros_) {
    if (name == "caller") macro->uses_caller = true;
    if (name == "varargs") macro->uses_varargs = true;
    if (name == "kwargs") macro->uses_kwargs = true;
  }
  return it->second;
}

bool Parser::skip_op(std::string_view op) {
  if (!current().op(op)) return false;
  next();
  return true;
}

bool Parser::skip_name(std::string_view name) {
  if (!current().name(name)) return false;
  next();
  return true;
}

Error Parser::unexpected(std::string_view wanted) const {
  if (current().type == Tok::kEof) return fail("unexpected end of template, expected '" + std::string(wanted) + "'");
  return fail("expected token '" + std::string(wanted) + "', got '" + describe(current()) + "'");
}

Status Parser::expect_op(std::string_view op) { return skip_op(op) ? Status() : Status(unexpected(op)); }
Status Parser::expect_name(std::string_view name) { return skip_name(name) ? Status() : Status(unexpected(name)); }

Status Parser::expect(Tok type, std::string_view what) {
  if (current().type != type) return unexpected(what);
  next();
  return {};
}

Result<std::vector<StmtPtr>> Parser::statements(Names ends) {
  const Nested nested(depth_);
  if (depth_ > kMaxNesting) {
    return limit_error("line " + std::to_string(current().line) + ": nested deeper than " + std::to_string(kMaxNesting));
  }
  std::vector<StmtPtr> out;
  StmtPtr output;  // what collects text and print tags
  const auto flush = [&] {
    if (output) out.push_back(std::move(output));
    output = nullptr;
  };
  const auto print = [&](ExprPtr value) {
    if (!output) {
      output = std::make_unique<Stmt>();
      output->line = value->line;
    }
    output->exprs.push_back(std::move(value));
  };
  while (current().type != Tok::kEof) {
    const Token& token = current();
    if (token.type == Tok::kData) {
      ExprPtr text = make(ExprKind::kConst, token.line);
      text->value = Value::string(token.text);
      next();
      print(std::move(text));
    } else if (token.type == Tok::kVariableBegin) {
      next();
      LAHAR_ASSIGN(ExprPtr value, tuple({}));
      LAHAR_TRY(expect(Tok::kVariableEnd, "end of print statement"));
      print(std::move(value));
    } else {
      flush();
      LAHAR_TRY(expect(Tok::kBlockBegin, "begin of statement block"));
      if (current().type == Tok::kName && std::find(ends.begin(), ends.end(), current().text) != ends.end()) return out;
      LAHAR_ASSIGN(StmtPtr parsed, statement(ends));
      LAHAR_TRY(expect(Tok::kBlockEnd, "end of statement block"));
      out.push_back(std::move(parsed));
    }
  }
  flush();
  if (ends.size() > 0) {
    std::string wanted;
    for (std::string_view end : ends) wanted += (wanted.empty() ? "'" : " or '") + std::string(end) + "'";
    return fail("Unexpected end of template. Jinja was looking for the following tags: " + wanted + ".");
  }
  return out;
}

Result<std::vector<StmtPtr>> Parser::block_body(Names ends) {
  skip_op(":");
  LAHAR_TRY(expect(Tok::kBlockEnd, "end of statement block"));
  return statements(ends);
}

Status Parser::closed_body(std::string_view end, std::vector<StmtPtr>& out) {
  LAHAR_ASSIGN(out, block_body({end}));
  next();
  return {};
}

Result<StmtPtr> Parser::statement(Names ends) {
  const Token& token = current();
  if (token.type != Tok::kName) return fail("tag name expected");
  const std::string& tag = token.text;
  if (tag == "for") return for_statement();
  if (tag == "if") return if_statement();
  if (tag == "set") return set_statement();
  if (tag == "macro") return macro_statement();
  if (tag == "call") return call_statement();
  if (tag == "filter") return filter_statement();
  if (tag == "with") return with_statement();
  if (tag == "block") return block_statement();
  if (tag == "generation") return generation_statement();
  if (tag == "print") return print_statement();
  if (tag == "autoescape") return autoescape_statement();
  if (tag == "break" || tag == "continue") {
    if (loop_depth_ == 0) return fail("'" + tag + "' outside loop");
    auto out = std::make_unique<Stmt>();
    out->kind = tag == "break" ? StmtKind::kBreak : StmtKind::kContinue;
    out->line = token.line;
    next();
    return out;
  }
  if (tag == "include" || tag == "import" || tag == "from" || tag == "extends") {
    return fail("'" + tag + "' needs other templates, a chat template has none");
  }
  std::string message = "Encountered unknown tag '" + tag + "'.";
  if (ends.size() > 0)
    message += " The innermost block that needs to be closed ends with '" + std::string(*(ends.end() - 1)) + "'.";
  return fail(message);
}

Status Parser::check_target(const Expr& target) const {
  const auto refuse = [&](const char* what) {
    return syntax_error(target.line, std::string("can't assign to '") + what + "'");
  };
  switch (target.kind) {
    case ExprKind::kName:
      if (loop_depth_ > 0 && target.id == program_->loop) {
        return syntax_error(target.line, "Can't assign to special loop variable in for-loop target");
      }
      return {};
    case ExprKind::kNsRef: return {};
    case ExprKind::kTuple:
      for (const ExprPtr& item : target.items) LAHAR_TRY(check_target(*item));
      return {};
    case ExprKind::kConst: return refuse("const");
    case ExprKind::kList: return refuse("list");
    case ExprKind::kDict: return refuse("dict");
    default: return refuse("expression");
  }
}

Result<ExprPtr> Parser::assign_target(bool in_for, bool with_namespace) {
  const std::vector<Macro*> macros = std::move(macros_);  // assigning to `kwargs` is no use of it
  macros_.clear();
  auto target = tuple({.simplified = true, .with_namespace = with_namespace, .end = in_for ? "in" : ""});
  macros_ = macros;
  if (!target.ok()) return target;
  LAHAR_TRY(check_target(**target));
  return target;
}

Result<StmtPtr> Parser::set_statement() {
  auto out = std::make_unique<Stmt>();
  out->line = current().line;
  next();
  LAHAR_ASSIGN(out->target, assign_target(false, true));
  if (skip_op("=")) {
    out->kind = StmtKind::kSet;
    LAHAR_ASSIGN(ExprPtr value, tuple({}));
    out->exprs.push_back(std::move(value));
    return out;
  }
  out->kind = StmtKind::kSetBlock;
  LAHAR_ASSIGN(ExprPtr chain, filter(nullptr, false));
  out->exprs.push_back(std::move(chain));
  LAHAR_TRY(closed_body("endset", out->body.statements));
  return out;
}

Result<StmtPtr> Parser::for_statement() {
  auto out = std::make_unique<Stmt>();
  out->kind = StmtKind::kFor;
  out->line = current().line;
  next();
  auto in_loop = std::make_optional<Nested>(loop_depth_);
  LAHAR_ASSIGN(out->target, assign_target(true, false));
  LAHAR_TRY(expect_name("in"));
  LAHAR_ASSIGN(ExprPtr iterable, tuple({.with_condition = false, .end = "recursive"}));
  ExprPtr test;
  if (skip_name("if")) { LAHAR_ASSIGN(test, expression()); }
  out->exprs.push_back(std::move(iterable));
  out->exprs.push_back(std::move(test));
  out->recursive = skip_name("recursive");
  LAHAR_ASSIGN(out->body.statements, block_body({"endfor", "else"}));
  in_loop.reset();  // a break in the else branch is one of the loop around
  const bool otherwise = current().name("else");
  next();
  if (otherwise) LAHAR_TRY(closed_body("endfor", out->otherwise.statements));
  return out;
}

Result<StmtPtr> Parser::if_statement() {
  auto out = std::make_unique<Stmt>();
  out->kind = StmtKind::kIf;
  out->line = current().line;
  next();
  while (true) {
    LAHAR_ASSIGN(ExprPtr test, tuple({.with_condition = false}));
    out->exprs.push_back(std::move(test));
    out->branches.emplace_back();
    LAHAR_ASSIGN(out->branches.back().statements, block_body({"elif", "else", "endif"}));
    const std::string tag = current().text;
    next();
    if (tag == "elif") continue;
    if (tag == "else") LAHAR_TRY(closed_body("endif", out->otherwise.statements));
    return out;
  }
}

Status Parser::signature(Macro& macro) {
  LAHAR_TRY(expect_op("("));
  while (!current().op(")")) {
    if (!macro.parameters.empty()) LAHAR_TRY(expect_op(","));
    if (current().type != Tok::kName) return unexpected("name");
    const std::string name = current().text;
    const NameId id = intern(name);
    if (std::find(macro.parameters.begin(), macro.parameters.end(), id) != macro.parameters.end()) {
      return fail("duplicate argument '" + name + "' in macro definition");
    }
    next();
    macro.parameters.push_back(id);
    if (skip_op("=")) {
      LAHAR_ASSIGN(ExprPtr value, expression());
      macro.defaults.push_back(std::move(value));
    } else if (!macro.defaults.empty()) {
      return fail("non-default argument follows default argument");
    }
  }
  return expect_op(")");
}

Status Parser::macro_body(Macro& macro, std::string_view end) {
  const int line = current().line;
  const int loops = loop_depth_;
  loop_depth_ = 0;
  macros_.push_back(&macro);
  const Status parsed = closed_body(end, macro.body.statements);
  macros_.pop_back();
  loop_depth_ = loops;
  LAHAR_TRY(parsed);
  const auto caller = std::find(macro.parameters.begin(), macro.parameters.end(), program_->caller);
  if (macro.uses_caller && caller != macro.parameters.end() &&
      caller < macro.parameters.end() - static_cast<std::ptrdiff_t>(macro.defaults.size())) {
    return syntax_error(line, "the special \"caller\" argument of a macro must be omitted or be given a default");
  }
  return {};
}

Result<StmtPtr> Parser::macro_statement() {
  auto out = std::make_unique<Stmt>();
  out->kind = StmtKind::kMacro;
  out->line = current().line;
  out->macro = std::make_unique<Macro>();
  next();
  if (current().type != Tok::kName) return unexpected("name");
  out->macro->name = current().text;
  out->macro->id = intern(current().text);
  next();
  LAHAR_TRY(signature(*out->macro));
  LAHAR_TRY(macro_body(*out->macro, "endmacro"));
  return out;
}

Result<StmtPtr> Parser::call_statement() {
  auto out = std::make_unique<Stmt>();
  out->kind = StmtKind::kCallBlock;
  out->line = current().line;
  out->macro = std::make_unique<Macro>();
  next();
  if (current().op("(")) LAHAR_TRY(signature(*out->macro));
  LAHAR_ASSIGN(ExprPtr call, expression());
  if (call->kind != ExprKind::kCall) return fail("expected call");
  out->exprs.push_back(std::move(call));
  LAHAR_TRY(macro_body(*out->macro, "endcall"));
  return out;
}

Result<StmtPtr> Parser::generation_statement() {
  auto out = std::make_unique<Stmt>();
  out->kind = StmtKind::kGeneration;
  out->line = current().line;
  out->macro = std::make_unique<Macro>();
  next();
  LAHAR_TRY(macro_body(*out->macro, "endgeneration"));
  return out;
}

Result<StmtPtr> Parser::filter_statement() {
  auto out = std::make_unique<Stmt>();
  out->kind = StmtKind::kFilterBlock;
  out->line = current().line;
  next();
  LAHAR_ASSIGN(ExprPtr chain, filter(nullptr, true));
  out->exprs.push_back(std::move(chain));
  LAHAR_TRY(closed_body("endfilter", out->body.statements));
  return out;
}

Result<StmtPtr> Parser::with_statement() {
  auto out = std::make_unique<Stmt>();
  out->kind = StmtKind::kWith;
  out->line = current().line;
  next();
  while (current().type != Tok::kBlockEnd && current().type != Tok::kEof) {
    if (!out->targets.empty()) LAHAR_TRY(expect_op(","));
    LAHAR_ASSIGN(ExprPtr target, assign_target(false, false));
    out->targets.push_back(std::move(target));
    LAHAR_TRY(expect_op("="));
    LAHAR_ASSIGN(ExprPtr value, expression());
    out->exprs.push_back(std::move(value));
  }
  LAHAR_TRY(closed_body("endwith", out->body.statements));
  return out;
}

// With no template that could extend this one a block is a scope.
Result<StmtPtr> Parser::block_statement() {
  auto out = std::make_unique<Stmt>();
  out->kind = StmtKind::kScope;
  out->line = current().line;
  next();
  if (current().type != Tok::kName) return unexpected("name");
  const std::string name = current().text;
  next();
  skip_name("scoped");
  skip_name("required");
  const int loops = loop_depth_;
  loop_depth_ = 0;
  const Status parsed = closed_body("endblock", out->body.statements);
  loop_depth_ = loops;
  LAHAR_TRY(parsed);
  skip_name(name);
  return out;
}

Result<StmtPtr> Parser::autoescape_statement() {
  auto out = std::make_unique<Stmt>();
  out->kind = StmtKind::kScope;
  out->line = current().line;
  next();
  LAHAR_ASSIGN(ExprPtr on, expression());
  if (on->kind != ExprKind::kConst || !on->value.is(Kind::kBool) || on->value.as_bool()) {
    return syntax_error(out->line, "autoescape other than false is not supported");
  }
  LAHAR_TRY(closed_body("endautoescape", out->body.statements));
  return out;
}

Result<StmtPtr> Parser::print_statement() {
  auto out = std::make_unique<Stmt>();
  out->line = current().line;
  next();
  while (current().type != Tok::kBlockEnd && current().type != Tok::kEof) {
    if (!out->exprs.empty()) LAHAR_TRY(expect_op(","));
    LAHAR_ASSIGN(ExprPtr value, expression());
    out->exprs.push_back(std::move(value));
  }
  return out;
}

}  // namespace lahar::jinja
