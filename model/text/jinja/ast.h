// A parsed template. Nothing here changes once parsed, so that threads may render it together.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "text/jinja/value.h"

namespace lahar::jinja {

using NameId = uint32_t;  // index into Program::names

enum class ExprKind : uint8_t {
  kConst,      // value
  kName,       // id
  kNsRef,      // id . text; an assignment target alone
  kTuple,      // items
  kList,       // items
  kDict,       // items: key, value, key, value, ...
  kCond,       // items: value, test, otherwise or null
  kOr,         // items: 2
  kAnd,        // items: 2
  kNot,        // items: 1
  kCompare,    // items: operands; ops: one between each two
  kBinary,     // items: 2; ops[0]
  kConcat,     // items
  kNegative,   // items: 1
  kPositive,   // items: 1
  kAttribute,  // items: object; text
  kItem,       // items: object, index
  kSlice,      // items: start, stop, step, each may be null; an index alone
  kCall,       // items: function, arguments...; named; star; star_star
  kFilter,     // items: input (null: the captured block), arguments...; named; text, filter
  kTest,       // the same with test
};

enum class Op : uint8_t { kAdd, kSub, kMul, kDiv, kFloorDiv, kMod, kPow, kEq, kNe, kLt, kLe, kGt, kGe, kIn, kNotIn };

struct Expr;
using ExprPtr = std::unique_ptr<Expr>;

using FilterFunction = Result<Value> (*)(Interp&, const Value& input, Args& args);
using TestFunction = Result<bool> (*)(Interp&, const Value& input, Args& args);

struct NamedExpr {
  std::string name;
  ExprPtr value;
};

struct Expr {
  ExprKind kind = ExprKind::kConst;
  int line = 0;
  uint32_t height = 1;  // bounded: evaluation and destruction recurse
  NameId id = 0;
  Value value;
  std::string text;
  std::vector<Op> ops;
  std::vector<ExprPtr> items;
  std::vector<NamedExpr> named;
  ExprPtr star, star_star;
  FilterFunction filter = nullptr;  // null: unknown, an error if it is ever reached
  TestFunction test = nullptr;
};

enum class StmtKind : uint8_t {
  kOutput,       // exprs
  kSet,          // target, exprs[0]
  kSetBlock,     // target, exprs[0] (a filter chain) or null, body
  kFor,          // target, exprs: iterable, condition or null; body; otherwise
  kIf,           // exprs: one per branch; branches; otherwise
  kMacro,        // macro
  kCallBlock,    // macro (the caller), exprs[0] (the call)
  kFilterBlock,  // exprs[0], body
  kWith,         // targets, exprs; body
  kScope,        // body
  kGeneration,   // macro, called in place
  kBreak,
  kContinue,
};

struct Stmt;
using StmtPtr = std::unique_ptr<Stmt>;

// A list of statements that runs in a scope of its own. `hidden` names are undefined in it until they are set, whatever
// they are outside: Jinja decides that when it compiles, by the first mention of the name.
struct Body {
  std::vector<StmtPtr> statements;
  std::vector<NameId> hidden;
};

struct Macro {
  std::string name;
  NameId id = 0;
  std::vector<NameId> parameters;
  std::vector<ExprPtr> defaults;  // of the last parameters
  Body body;
  bool uses_caller = false, uses_varargs = false, uses_kwargs = false;
};

struct Stmt {
  StmtKind kind = StmtKind::kOutput;
  int line = 0;
  ExprPtr target;
  std::vector<ExprPtr> targets;
  std::vector<ExprPtr> exprs;
  Body body, otherwise;
  std::vector<Body> branches;
  std::unique_ptr<Macro> macro;
  bool recursive = false;
};

struct Program {
  std::vector<std::string> names;
  Body body;
  NameId loop = 0, caller = 0, varargs = 0, kwargs = 0;
};

}  // namespace lahar::jinja
