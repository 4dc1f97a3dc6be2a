#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "text/jinja/token.h"

namespace lahar::jinja {

// The state of one tokenization. Source has "\n" line ends only.
class Lexer {
 public:
  explicit Lexer(std::string source) : source_(std::move(source)) {}
  Result<std::vector<Token>> run();

 private:
  struct Tag;  // the opening of a tag that ends a stretch of data

  std::string_view src() const { return source_; }
  bool at(std::string_view what, size_t offset) const {
    return offset <= source_.size() && src().substr(offset).starts_with(what);
  }
  size_t skip_space(size_t offset) const;
  Error fail(std::string_view message) const { return syntax_error(line_, message); }
  void advance(size_t to);  // moves on and counts lines
  void push(Tok type, std::string text) { tokens_.push_back({type, line_, std::move(text)}); }

  void data(size_t end, char sign, bool variable);  // the text up to `end`, stripped as the tag behind it asks
  Status comment();
  Status raw(size_t content);
  Status inside(bool variable);
  size_t end_of_tag(bool variable) const;  // npos where there is no end here
  size_t raw_begin(size_t offset) const;   // the offset behind a whole {% raw %}, or npos
  Status number(bool variable);
  Status string_literal();
  Status op();

  std::string source_;
  size_t pos_ = 0;
  int line_ = 1;
  bool line_starting_ = true;  // the last thing read ended with a line end
  std::string brackets_;       // closing brackets that are awaited
  std::vector<Token> tokens_;
};

// The value of a string literal's inside; a message on failure.
Result<std::string> unescape(std::string_view inside);

}  // namespace lahar::jinja
