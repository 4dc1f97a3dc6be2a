// What Jinja decides when it compiles a template: which filters and tests exist, and where a name comes from. A name is
// looked up outside a scope only if the scope's first mention of it, in the order of the text, is a use or lies in one
// branch of an if; otherwise it is undefined until it is set. That shows where a macro or a loop reads it in between.
#include <algorithm>
#include <unordered_map>

#include "text/jinja/filters.h"
#include "text/jinja/parser.h"

namespace lahar::jinja {

namespace {

enum class Load : uint8_t { kParameter, kResolve, kUndefined, kAlias };

struct Symbols {
  const Symbols* parent = nullptr;
  std::unordered_map<NameId, Load> refs;
  std::unordered_map<NameId, bool> stores;

  bool known_outside(NameId id) const { return parent != nullptr && parent->known(id); }
  bool known(NameId id) const { return refs.count(id) > 0 || known_outside(id); }
  void load(NameId id) {
    if (!known(id)) refs[id] = Load::kResolve;
  }
  void store(NameId id) {
    stores[id] = true;
    if (refs.count(id) == 0) refs[id] = known_outside(id) ? Load::kAlias : Load::kUndefined;
  }
  void parameter(NameId id) {
    stores[id] = true;
    refs[id] = Load::kParameter;
  }
};

class Analyzer {
 public:
  explicit Analyzer(Program& program) : program_(program) {}
  Status run() { return scope(program_.body, Symbols{}); }

 private:
  static constexpr size_t kMaxWork = 20'000'000;  // names copied for branches

  // Finds what `body` hides, then looks into its inner scopes. `symbols` has the parent and the parameters.
  Status scope(Body& body, Symbols symbols);
  Status mention(std::vector<StmtPtr>& statements, Symbols& symbols);
  Status mention(Stmt& stmt, Symbols& symbols);
  Status branches(Stmt& stmt, Symbols& symbols);
  void mention(const Expr* expr, Symbols& symbols);
  void target(const Expr& expr, Symbols& symbols, bool parameter);
  void merge(Symbols& into, std::vector<Symbols> copies);
  Status copied(const Symbols& symbols);

  Status inner(std::vector<StmtPtr>& statements, const Symbols& symbols, bool soft);
  Status inner(Stmt& stmt, const Symbols& symbols, bool soft);
  Status macro(Macro& macro, const Symbols& symbols);
  Status resolve(Expr* expr, bool soft);  // soft: an unknown name is an error only once it is reached

  Program& program_;
  size_t work_ = 0;
};

Status Analyzer::copied(const Symbols& symbols) {
  work_ += symbols.refs.size() + symbols.stores.size() + 1;
  return work_ > kMaxWork ? Status(limit_error("template with too many branches and names")) : Status();
}

void Analyzer::mention(const Expr* expr, Symbols& symbols) {
  if (expr == nullptr) return;
  if (expr->kind == ExprKind::kName || expr->kind == ExprKind::kNsRef) symbols.load(expr->id);
  for (const ExprPtr& item : expr->items) mention(item.get(), symbols);
  for (const NamedExpr& named : expr->named) mention(named.value.get(), symbols);
  mention(expr->star.get(), symbols);
  mention(expr->star_star.get(), symbols);
}

void Analyzer::target(const Expr& expr, Symbols& symbols, bool parameter) {
  if (expr.kind == ExprKind::kNsRef) symbols.load(expr.id);
  if (expr.kind == ExprKind::kName) parameter ? symbols.parameter(expr.id) : symbols.store(expr.id);
  for (const ExprPtr& item : expr.items) target(*item, symbols, parameter);
}

void Analyzer::merge(Symbols& into, std::vector<Symbols> copies) {
  std::vector<NameId> stored;
  for (Symbols& copy : copies) {
    for (const auto& [id, _] : copy.stores)
      if (into.stores.count(id) == 0) stored.push_back(id);
  }
  for (Symbols& copy : copies) {
    for (const auto& [id, load] : copy.refs) into.refs[id] = load;
    for (const auto& [id, _] : copy.stores) into.stores[id] = true;
  }
  for (NameId id : stored) into.refs[id] = into.known_outside(id) ? Load::kAlias : Load::kResolve;
}

Status Analyzer::branches(Stmt& stmt, Symbols& symbols) {
  mention(stmt.exprs[0].get(), symbols);
  for (int i = 0; i < 3; ++i) LAHAR_TRY(copied(symbols));
  std::vector<Symbols> copies(3, symbols);
  LAHAR_TRY(mention(stmt.branches[0].statements, copies[0]));
  for (size_t i = 1; i < stmt.branches.size(); ++i) {
    mention(stmt.exprs[i].get(), copies[1]);
    LAHAR_TRY(copied(copies[1]));
    std::vector<Symbols> one(1, copies[1]);
    LAHAR_TRY(mention(stmt.branches[i].statements, one[0]));
    merge(copies[1], std::move(one));
  }
  LAHAR_TRY(mention(stmt.otherwise.statements, copies[2]));
  merge(symbols, std::move(copies));
  return {};
}

Status Analyzer::mention(Stmt& stmt, Symbols& symbols) {
  switch (stmt.kind) {
    case StmtKind::kIf: return branches(stmt, symbols);
    case StmtKind::kSet:
      mention(stmt.exprs[0].get(), symbols);
      target(*stmt.target, symbols, false);
      return {};
    case StmtKind::kSetBlock: target(*stmt.target, symbols, false); return {};
    case StmtKind::kMacro: symbols.store(stmt.macro->id); return {};
    case StmtKind::kFor: mention(stmt.exprs[0].get(), symbols); return {};
    default:
      for (const ExprPtr& expr : stmt.exprs) mention(expr.get(), symbols);
      return {};
  }
}

Status Analyzer::mention(std::vector<StmtPtr>& statements, Symbols& symbols) {
  for (StmtPtr& stmt : statements) LAHAR_TRY(mention(*stmt, symbols));
  return {};
}

Status Analyzer::scope(Body& body, Symbols symbols) {
  LAHAR_TRY(mention(body.statements, symbols));
  for (const auto& [id, load] : symbols.refs)
    if (load == Load::kUndefined) body.hidden.push_back(id);
  std::sort(body.hidden.begin(), body.hidden.end());
  return inner(body.statements, symbols, false);
}

Status Analyzer::macro(Macro& macro, const Symbols& symbols) {
  Symbols own{.parent = &symbols, .refs = {}, .stores = {}};
  for (NameId id : macro.parameters) own.parameter(id);
  if (macro.uses_caller) own.parameter(program_.caller);
  if (macro.uses_varargs) own.parameter(program_.varargs);
  if (macro.uses_kwargs) own.parameter(program_.kwargs);
  for (ExprPtr& value : macro.defaults) {
    mention(value.get(), own);
    LAHAR_TRY(resolve(value.get(), false));
  }
  return scope(macro.body, std::move(own));
}

Status Analyzer::inner(Stmt& stmt, const Symbols& symbols, bool soft) {
  Symbols own{.parent = &symbols, .refs = {}, .stores = {}};
  const bool condition = stmt.kind == StmtKind::kIf;
  for (size_t i = 0; i < stmt.exprs.size(); ++i) {
    const bool in_own_frame =
        stmt.kind == StmtKind::kFilterBlock || stmt.kind == StmtKind::kSetBlock || (stmt.kind == StmtKind::kFor && i == 1);
    LAHAR_TRY(resolve(stmt.exprs[i].get(), condition || (soft && !in_own_frame)));
  }
  switch (stmt.kind) {
    case StmtKind::kIf:
      for (Body& branch : stmt.branches) LAHAR_TRY(inner(branch.statements, symbols, true));
      return inner(stmt.otherwise.statements, symbols, true);
    case StmtKind::kFor:
      LAHAR_TRY(scope(stmt.otherwise, own));
      own.parameter(program_.loop);
      target(*stmt.target, own, true);
      return scope(stmt.body, std::move(own));
    case StmtKind::kWith:
      for (const ExprPtr& t : stmt.targets) target(*t, own, true);
      return scope(stmt.body, std::move(own));
    case StmtKind::kFilterBlock:
    case StmtKind::kSetBlock:
    case StmtKind::kScope: return scope(stmt.body, std::move(own));
    case StmtKind::kMacro:
    case StmtKind::kCallBlock:
    case StmtKind::kGeneration: return macro(*stmt.macro, symbols);
    default: return {};
  }
}

Status Analyzer::inner(std::vector<StmtPtr>& statements, const Symbols& symbols, bool soft) {
  for (StmtPtr& stmt : statements) LAHAR_TRY(inner(*stmt, symbols, soft));
  return {};
}

Status Analyzer::resolve(Expr* expr, bool soft) {
  if (expr == nullptr) return {};
  if (expr->kind == ExprKind::kFilter) {
    expr->filter = find_filter(expr->text);
    if (expr->filter == nullptr && !soft) return syntax_error(expr->line, "No filter named '" + expr->text + "'.");
  } else if (expr->kind == ExprKind::kTest) {
    expr->test = find_test(expr->text);
    if (expr->test == nullptr && !soft) return syntax_error(expr->line, "No test named '" + expr->text + "'.");
  }
  const bool inside = soft || expr->kind == ExprKind::kCond;
  for (const ExprPtr& item : expr->items) LAHAR_TRY(resolve(item.get(), inside));
  for (const NamedExpr& named : expr->named) LAHAR_TRY(resolve(named.value.get(), inside));
  LAHAR_TRY(resolve(expr->star.get(), inside));
  return resolve(expr->star_star.get(), inside);
}

}  // namespace

Status analyze(Program& program) { return Analyzer(program).run(); }

}  // namespace lahar::jinja
