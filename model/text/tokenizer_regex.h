// Patterns of pre-tokenizers, as tokenizer files write them, run by PCRE2 over text that may hold any bytes.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "core/result.h"

namespace lahar {

// What one thread needs while it matches; not shared between threads.
class RegexScratch {
 public:
  RegexScratch();
  ~RegexScratch();
  RegexScratch(const RegexScratch&) = delete;
  RegexScratch& operator=(const RegexScratch&) = delete;

 private:
  friend class Regex;
  struct State;
  std::unique_ptr<State> state_;
};

// A part of a text, bytes [begin, end).
struct TextPart {
  uint32_t begin = 0, end = 0;
  bool matched = false;
};

// Immutable once compiled: any number of threads may use it, each with its own scratch.
class Regex {
 public:
  // `pattern` in the syntax of tokenizer.json (Oniguruma, as far as tokenizers use it). Errors: kFormat where it is no
  // pattern (the message names the place), kUnsupported for a class intersection that is not of the form [A&&[^B]].
  static Result<Regex> compile(std::string_view pattern);
  // Matches the text itself. Errors: kFormat where it is empty.
  static Result<Regex> literal(std::string_view text);
  Regex(Regex&&) noexcept;
  Regex& operator=(Regex&&) noexcept;
  ~Regex();

  // Appends the whole of `text` in order, cut at each match; `offset` is added to all positions. Bytes that are not UTF-8
  // match nothing. Errors: kLimit where the pattern backtracks too much.
  Status split(std::string_view text, uint32_t offset, RegexScratch& scratch, std::vector<TextPart>& parts) const;

 private:
  struct Code;
  explicit Regex(std::unique_ptr<Code> code);
  static Result<Regex> compile_as(std::string_view pattern, uint32_t options);
  std::unique_ptr<Code> code_;
};

}  // namespace lahar
