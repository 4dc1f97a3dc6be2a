#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/result.h"

namespace lahar::jinja {

enum class Tok : uint8_t {
  kData,
  kVariableBegin,
  kVariableEnd,
  kBlockBegin,
  kBlockEnd,
  kName,
  kString,
  kInteger,
  kFloat,
  kOperator,  // its text says which
  kEof,
};

struct Token {
  Tok type = Tok::kEof;
  int line = 1;
  std::string text;  // data, name, unescaped string, operator, digits of a number without underscores

  bool op(std::string_view what) const { return type == Tok::kOperator && text == what; }
  bool name(std::string_view what) const { return type == Tok::kName && text == what; }
};

// How a message names the token.
std::string describe(const Token& token);

// Splits a template; comments, raw blocks and whitespace control are resolved here. kFormat with the line.
Result<std::vector<Token>> tokenize(std::string_view source);

Error syntax_error(int line, std::string_view message);

}  // namespace lahar::jinja
