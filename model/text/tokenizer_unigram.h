// Unigram: of all ways to cut a piece into tokens, the one whose scores (log probabilities) add up highest.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <vector>

#include "text/tokenizer_model.h"
#include "text/vocabulary.h"

namespace lahar {

class UnigramModel final : public TokenizerModel {
 public:
  // Tokens of more bytes than this are not found in a text, so that the time for a byte of text is bounded.
  static constexpr size_t kLongest = 512;

  // `vocabulary` must outlive the model, and be complete. scores: one for each id, finite. A character that is in no token
  // costs 10 less than the lowest score, and becomes <0x..> tokens where byte_fallback is set and they are there, else
  // `unknown` (one for several in a row), else it is dropped.
  UnigramModel(const Vocabulary& vocabulary, std::vector<float> scores, std::optional<int32_t> unknown, bool byte_fallback);
  void encode(std::string_view piece, ModelScratch& scratch, std::vector<int32_t>& ids) const override;

 private:
  // A prefix of one or more tokens: the tokens [low, high) of sorted_, narrowed byte by byte.
  struct Prefixes {
    size_t low, high;
  };
  const Vocabulary& vocabulary_;
  std::vector<float> scores_;
  std::vector<int32_t> sorted_;             // ids that text can become, by their spelling
  std::array<uint32_t, 257> first_byte_{};  // of sorted_
  std::optional<int32_t> unknown_;
  double unknown_score_ = -10;
  std::array<int32_t, 256> byte_ids_;  // -1: none
};

}  // namespace lahar
