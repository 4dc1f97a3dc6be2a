#include <algorithm>
#include <charconv>
#include <limits>

#include "text/jinja/parser.h"

namespace lahar::jinja {

ExprPtr Parser::make(ExprKind kind, int line) const {
  auto node = std::make_unique<Expr>();
  node->kind = kind;
  node->line = line;
  return node;
}

Result<ExprPtr> Parser::finish(ExprPtr node) {
  const auto grow = [&](const ExprPtr& child) {
    if (child) node->height = std::max(node->height, child->height + 1);
  };
  for (const ExprPtr& item : node->items) grow(item);
  for (const NamedExpr& named : node->named) grow(named.value);
  grow(node->star);
  grow(node->star_star);
  if (node->height > kMaxHeight) {
    return limit_error("line " + std::to_string(node->line) + ": expression nested deeper than " +
                       std::to_string(kMaxHeight));
  }
  return node;
}

Result<ExprPtr> Parser::binary(ExprKind kind, int line, ExprPtr left, ExprPtr right) {
  ExprPtr node = make(kind, line);
  node->items.push_back(std::move(left));
  node->items.push_back(std::move(right));
  return finish(std::move(node));
}

Result<ExprPtr> Parser::expression(bool with_condition) {
  const Nested nested(depth_);
  if (depth_ > kMaxNesting) {
    return limit_error("line " + std::to_string(current().line) + ": nested deeper than " + std::to_string(kMaxNesting));
  }
  return with_condition ? condition() : logical_or();
}

Result<ExprPtr> Parser::condition() {
  int line = current().line;
  LAHAR_ASSIGN(ExprPtr value, logical_or());
  while (skip_name("if")) {
    ExprPtr node = make(ExprKind::kCond, line);
    LAHAR_ASSIGN(ExprPtr test, logical_or());
    ExprPtr otherwise;
    if (skip_name("else")) { LAHAR_ASSIGN(otherwise, expression()); }
    node->items.push_back(std::move(value));
    node->items.push_back(std::move(test));
    node->items.push_back(std::move(otherwise));
    LAHAR_ASSIGN(value, finish(std::move(node)));
    line = current().line;
  }
  return value;
}

Result<ExprPtr> Parser::logical_or() {
  const int line = current().line;
  LAHAR_ASSIGN(ExprPtr left, logical_and());
  while (skip_name("or")) {
    LAHAR_ASSIGN(ExprPtr right, logical_and());
    LAHAR_ASSIGN(left, binary(ExprKind::kOr, line, std::move(left), std::move(right)));
  }
  return left;
}

Result<ExprPtr> Parser::logical_and() {
  const int line = current().line;
  LAHAR_ASSIGN(ExprPtr left, logical_not());
  while (skip_name("and")) {
    LAHAR_ASSIGN(ExprPtr right, logical_not());
    LAHAR_ASSIGN(left, binary(ExprKind::kAnd, line, std::move(left), std::move(right)));
  }
  return left;
}

Result<ExprPtr> Parser::logical_not() {
  int line = current().line;
  int negations = 0;
  while (skip_name("not")) ++negations;
  LAHAR_ASSIGN(ExprPtr node, comparison());
  // Two negations are truth, not the value itself; more add nothing.
  for (int i = negations > 2 ? negations % 2 + 2 : negations; i > 0; --i) {
    ExprPtr negated = make(ExprKind::kNot, line);
    negated->items.push_back(std::move(node));
    LAHAR_ASSIGN(node, finish(std::move(negated)));
  }
  return node;
}

Result<ExprPtr> Parser::comparison() {
  ExprPtr node = make(ExprKind::kCompare, current().line);
  LAHAR_ASSIGN(ExprPtr first, sum());
  while (true) {
    const Token& t = current();
    Op op;
    if (t.op("==")) {
      op = Op::kEq;
    } else if (t.op("!=")) {
      op = Op::kNe;
    } else if (t.op("<")) {
      op = Op::kLt;
    } else if (t.op("<=")) {
      op = Op::kLe;
    } else if (t.op(">")) {
      op = Op::kGt;
    } else if (t.op(">=")) {
      op = Op::kGe;
    } else if (t.name("in")) {
      op = Op::kIn;
    } else if (t.name("not") && look().name("in")) {
      op = Op::kNotIn;
      next();
    } else {
      break;
    }
    next();
    if (node->items.empty()) node->items.push_back(std::move(first));
    LAHAR_ASSIGN(ExprPtr operand, sum());
    node->items.push_back(std::move(operand));
    node->ops.push_back(op);
  }
  if (node->ops.empty()) return first;
  return finish(std::move(node));
}

Result<ExprPtr> Parser::sum() {
  const int line = current().line;
  LAHAR_ASSIGN(ExprPtr left, concatenation());
  while (current().op("+") || current().op("-")) {
    const Op op = current().op("+") ? Op::kAdd : Op::kSub;
    next();
    LAHAR_ASSIGN(ExprPtr right, concatenation());
    LAHAR_ASSIGN(left, binary(ExprKind::kBinary, line, std::move(left), std::move(right)));
    left->ops.push_back(op);
  }
  return left;
}

Result<ExprPtr> Parser::concatenation() {
  ExprPtr node = make(ExprKind::kConcat, current().line);
  LAHAR_ASSIGN(ExprPtr first, product());
  if (!current().op("~")) return first;
  node->items.push_back(std::move(first));
  while (skip_op("~")) {
    LAHAR_ASSIGN(ExprPtr item, product());
    node->items.push_back(std::move(item));
  }
  return finish(std::move(node));
}

Result<ExprPtr> Parser::product() {
  const int line = current().line;
  LAHAR_ASSIGN(ExprPtr left, power());
  while (true) {
    Op op;
    if (current().op("*")) {
      op = Op::kMul;
    } else if (current().op("/")) {
      op = Op::kDiv;
    } else if (current().op("//")) {
      op = Op::kFloorDiv;
    } else if (current().op("%")) {
      op = Op::kMod;
    } else {
      return left;
    }
    next();
    LAHAR_ASSIGN(ExprPtr right, power());
    LAHAR_ASSIGN(left, binary(ExprKind::kBinary, line, std::move(left), std::move(right)));
    left->ops.push_back(op);
  }
}

Result<ExprPtr> Parser::power() {
  const int line = current().line;
  LAHAR_ASSIGN(ExprPtr left, unary());
  while (skip_op("**")) {
    LAHAR_ASSIGN(ExprPtr right, unary());
    LAHAR_ASSIGN(left, binary(ExprKind::kBinary, line, std::move(left), std::move(right)));
    left->ops.push_back(Op::kPow);
  }
  return left;
}

Result<ExprPtr> Parser::unary(bool with_filter) {
  const Nested nested(depth_);
  if (depth_ > kMaxNesting) {
    return limit_error("line " + std::to_string(current().line) + ": nested deeper than " + std::to_string(kMaxNesting));
  }
  const int line = current().line;
  ExprPtr node;
  if (current().op("-") || current().op("+")) {
    node = make(current().op("-") ? ExprKind::kNegative : ExprKind::kPositive, line);
    next();
    LAHAR_ASSIGN(ExprPtr operand, unary(false));
    node->items.push_back(std::move(operand));
    LAHAR_ASSIGN(node, finish(std::move(node)));
  } else {
    LAHAR_ASSIGN(node, primary());
  }
  LAHAR_ASSIGN(node, postfix(std::move(node)));
  return with_filter ? filters_and_tests(std::move(node)) : Result<ExprPtr>(std::move(node));
}

Result<ExprPtr> Parser::primary(bool with_namespace) {
  const Token token = current();
  ExprPtr node = make(ExprKind::kConst, token.line);
  if (token.type == Tok::kName) {
    next();
    if (token.text == "true" || token.text == "True" || token.text == "false" || token.text == "False") {
      node->value = Value::boolean(token.text == "true" || token.text == "True");
    } else if (token.text == "none" || token.text == "None") {
      node->value = Value::none();
    } else if (with_namespace && current().op(".")) {
      next();
      if (current().type != Tok::kName) return unexpected("name");
      node->kind = ExprKind::kNsRef;
      node->id = intern(token.text);
      node->text = current().text;
      next();
    } else {
      node->kind = ExprKind::kName;
      node->id = intern(token.text);
    }
    return node;
  }
  if (token.type == Tok::kString) {
    std::string text;
    for (; current().type == Tok::kString; next()) text += current().text;
    node->value = Value::string(text);
    return node;
  }
  if (token.type == Tok::kInteger || token.type == Tok::kFloat) return number();
  if (token.op("(")) {
    next();
    LAHAR_ASSIGN(node, tuple({.parentheses = true}));
    LAHAR_TRY(expect_op(")"));
    return node;
  }
  if (token.op("[")) return list();
  if (token.op("{")) return dict();
  return fail("unexpected '" + describe(token) + "'");
}

Result<ExprPtr> Parser::number() {
  const Token& token = current();
  ExprPtr node = make(ExprKind::kConst, token.line);
  const char* first = token.text.data();
  const char* last = first + token.text.size();
  if (token.type == Tok::kFloat) {
    double d = 0;
    if (std::from_chars(first, last, d).ec == std::errc::result_out_of_range) {
      const size_t exponent = token.text.find_first_of("eE");
      const bool tiny = exponent != std::string::npos && token.text[exponent + 1] == '-';
      d = tiny ? 0.0 : std::numeric_limits<double>::infinity();
    }
    node->value = Value::real(d);
  } else {
    const char base = token.text.size() > 1 ? static_cast<char>(token.text[1] | 0x20) : ' ';
    const int radix = base == 'x' ? 16 : base == 'o' ? 8 : base == 'b' ? 2 : 10;
    uint64_t value = 0;
    if (std::from_chars(radix == 10 ? first : first + 2, last, value, radix).ec != std::errc()) {
      return limit_error("line " + std::to_string(token.line) + ": integer of more than 64 bits");
    }
    node->value = Value::big_integer(value);
  }
  next();
  return node;
}

Result<ExprPtr> Parser::tuple(TupleRules rules) {
  ExprPtr node = make(ExprKind::kTuple, current().line);
  bool is_tuple = false;
  const auto at_end = [&] {
    const Token& t = current();
    return t.type == Tok::kVariableEnd || t.type == Tok::kBlockEnd || t.op(")") || (!rules.end.empty() && t.name(rules.end));
  };
  while (true) {
    if (!node->items.empty()) LAHAR_TRY(expect_op(","));
    if (at_end()) break;
    LAHAR_ASSIGN(ExprPtr item, rules.simplified ? primary(rules.with_namespace) : expression(rules.with_condition));
    node->items.push_back(std::move(item));
    if (!current().op(",")) break;
    is_tuple = true;
  }
  if (!is_tuple) {
    if (!node->items.empty()) return std::move(node->items[0]);
    if (!rules.parentheses) return fail("Expected an expression, got '" + describe(current()) + "'");
  }
  return finish(std::move(node));
}

Result<ExprPtr> Parser::list() {
  ExprPtr node = make(ExprKind::kList, current().line);
  LAHAR_TRY(expect_op("["));
  while (!current().op("]")) {
    if (!node->items.empty()) LAHAR_TRY(expect_op(","));
    if (current().op("]")) break;
    LAHAR_ASSIGN(ExprPtr item, expression());
    node->items.push_back(std::move(item));
  }
  LAHAR_TRY(expect_op("]"));
  return finish(std::move(node));
}

Result<ExprPtr> Parser::dict() {
  ExprPtr node = make(ExprKind::kDict, current().line);
  LAHAR_TRY(expect_op("{"));
  while (!current().op("}")) {
    if (!node->items.empty()) LAHAR_TRY(expect_op(","));
    if (current().op("}")) break;
    LAHAR_ASSIGN(ExprPtr key, expression());
    LAHAR_TRY(expect_op(":"));
    LAHAR_ASSIGN(ExprPtr value, expression());
    node->items.push_back(std::move(key));
    node->items.push_back(std::move(value));
  }
  LAHAR_TRY(expect_op("}"));
  return finish(std::move(node));
}

Result<ExprPtr> Parser::postfix(ExprPtr node) {
  while (true) {
    if (current().op(".") || current().op("[")) {
      LAHAR_ASSIGN(node, subscript(std::move(node)));
    } else if (current().op("(")) {
      LAHAR_ASSIGN(node, call(std::move(node)));
    } else {
      return node;
    }
  }
}

Result<ExprPtr> Parser::filters_and_tests(ExprPtr node) {
  while (true) {
    if (current().op("|")) {
      LAHAR_ASSIGN(node, filter(std::move(node), false));
    } else if (current().name("is")) {
      LAHAR_ASSIGN(node, test(std::move(node)));
    } else if (current().op("(")) {
      LAHAR_ASSIGN(node, call(std::move(node)));
    } else {
      return node;
    }
  }
}

Result<ExprPtr> Parser::subscript(ExprPtr object) {
  const int line = current().line;
  ExprPtr node = make(ExprKind::kItem, line);
  node->items.push_back(std::move(object));
  if (skip_op(".")) {
    if (current().type == Tok::kName) {
      node->kind = ExprKind::kAttribute;
      node->text = current().text;
      next();
      return finish(std::move(node));
    }
    if (current().type != Tok::kInteger) return fail("expected name or number");
    LAHAR_ASSIGN(ExprPtr index, number());
    node->items.push_back(std::move(index));
    return finish(std::move(node));
  }
  LAHAR_TRY(expect_op("["));
  ExprPtr indices = make(ExprKind::kTuple, line);
  while (!current().op("]")) {
    if (!indices->items.empty()) LAHAR_TRY(expect_op(","));
    LAHAR_ASSIGN(ExprPtr index, subscribed());
    indices->items.push_back(std::move(index));
  }
  LAHAR_TRY(expect_op("]"));
  if (indices->items.size() == 1) {
    node->items.push_back(std::move(indices->items[0]));
  } else {
    LAHAR_ASSIGN(indices, finish(std::move(indices)));
    node->items.push_back(std::move(indices));
  }
  return finish(std::move(node));
}

Result<ExprPtr> Parser::subscribed() {
  ExprPtr slice = make(ExprKind::kSlice, current().line);
  slice->items.resize(3);
  if (!current().op(":")) {
    LAHAR_ASSIGN(slice->items[0], expression());
    if (!current().op(":")) return std::move(slice->items[0]);
  }
  next();
  const auto at_end = [&] { return current().op("]") || current().op(","); };
  if (!current().op(":") && !at_end()) { LAHAR_ASSIGN(slice->items[1], expression()); }
  if (skip_op(":") && !at_end()) { LAHAR_ASSIGN(slice->items[2], expression()); }
  return finish(std::move(slice));
}

Result<ExprPtr> Parser::call(ExprPtr function) {
  ExprPtr node = make(ExprKind::kCall, current().line);
  node->items.push_back(std::move(function));
  LAHAR_TRY(call_arguments(*node));
  return finish(std::move(node));
}

Status Parser::call_arguments(Expr& node) {
  const int line = current().line;
  const Error invalid = syntax_error(line, "invalid syntax for function call expression");
  LAHAR_TRY(expect_op("("));
  bool comma = false;
  while (!current().op(")")) {
    if (comma) {
      LAHAR_TRY(expect_op(","));
      if (current().op(")")) break;
    }
    if (skip_op("*")) {
      if (node.star || node.star_star) return invalid;
      LAHAR_ASSIGN(node.star, expression());
    } else if (skip_op("**")) {
      if (node.star_star) return invalid;
      LAHAR_ASSIGN(node.star_star, expression());
    } else if (current().type == Tok::kName && look().op("=")) {
      if (node.star_star) return invalid;
      std::string name = current().text;
      for (const NamedExpr& named : node.named)
        if (named.name == name) return fail("keyword argument repeated: " + name);
      next();
      next();
      LAHAR_ASSIGN(ExprPtr value, expression());
      node.named.push_back({std::move(name), std::move(value)});
    } else {
      if (node.star || node.star_star || !node.named.empty()) return invalid;
      LAHAR_ASSIGN(ExprPtr value, expression());
      node.items.push_back(std::move(value));
    }
    comma = true;
  }
  return expect_op(")");
}

Result<std::string> Parser::dotted_name() {
  if (current().type != Tok::kName) return unexpected("name");
  std::string name = current().text;
  next();
  while (skip_op(".")) {
    if (current().type != Tok::kName) return unexpected("name");
    name += "." + current().text;
    next();
  }
  return name;
}

Result<ExprPtr> Parser::filter(ExprPtr node, bool inline_start) {
  while (current().op("|") || inline_start) {
    if (!inline_start) next();
    inline_start = false;
    ExprPtr applied = make(ExprKind::kFilter, current().line);
    LAHAR_ASSIGN(applied->text, dotted_name());
    applied->items.push_back(std::move(node));
    if (current().op("(")) LAHAR_TRY(call_arguments(*applied));
    LAHAR_ASSIGN(node, finish(std::move(applied)));
  }
  return node;
}

Result<ExprPtr> Parser::test(ExprPtr value) {
  const int line = current().line;
  next();  // is
  const bool negated = skip_name("not");
  ExprPtr node = make(ExprKind::kTest, line);
  LAHAR_ASSIGN(node->text, dotted_name());
  node->items.push_back(std::move(value));
  const Token& t = current();
  if (t.op("(")) {
    LAHAR_TRY(call_arguments(*node));
  } else if ((t.type == Tok::kName || t.type == Tok::kString || t.type == Tok::kInteger || t.type == Tok::kFloat ||
              t.op("[") || t.op("{")) &&
             !t.name("else") && !t.name("or") && !t.name("and")) {
    if (t.name("is")) return fail("You cannot chain multiple tests with is");
    LAHAR_ASSIGN(ExprPtr argument, primary());
    LAHAR_ASSIGN(argument, postfix(std::move(argument)));
    node->items.push_back(std::move(argument));
  }
  LAHAR_ASSIGN(node, finish(std::move(node)));
  if (!negated) return node;
  ExprPtr opposite = make(ExprKind::kNot, line);
  opposite->items.push_back(std::move(node));
  return finish(std::move(opposite));
}

}  // namespace lahar::jinja
