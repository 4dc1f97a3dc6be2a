// A model turns one piece of text into tokens.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

namespace lahar {

// Room that one thread's encoding uses again and again.
struct ModelScratch {
  struct Symbol {
    int32_t id = -1;  // -1: no token
    int32_t previous = -1, next = -1;
    uint32_t begin = 0, length = 0;  // bytes of the piece; a length of 0 marks a symbol that was merged away
  };
  struct Candidate {
    double order = 0;   // lowest first
    uint32_t left = 0;  // symbol; leftmost first among equals
    int32_t left_id = 0, right_id = 0, merged_id = 0;
    uint32_t length = 0;  // bytes of both
  };
  std::vector<Symbol> symbols;
  std::vector<Candidate> heap;
};

// Immutable; thread-safe with one scratch for each thread.
class TokenizerModel {
 public:
  virtual ~TokenizerModel() = default;
  // Appends the tokens of `piece`, which may hold any bytes and is under 4 GiB.
  virtual void encode(std::string_view piece, ModelScratch& scratch, std::vector<int32_t>& ids) const = 0;
};

}  // namespace lahar
