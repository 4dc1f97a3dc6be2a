// SentencePiece-style merging by score: of all neighbours that together are a token, those whose token scores highest merge
// first, the leftmost among equals.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <vector>

#include "text/tokenizer_model.h"
#include "text/vocabulary.h"

namespace lahar {

class SpmModel final : public TokenizerModel {
 public:
  // `vocabulary` must outlive the model, and be complete. scores: one for each id, no NaN. A character that is no token is
  // spelled with <0x..> tokens, else it is `unknown`, else it is dropped.
  SpmModel(const Vocabulary& vocabulary, std::vector<float> scores, std::optional<int32_t> unknown);
  void encode(std::string_view piece, ModelScratch& scratch, std::vector<int32_t>& ids) const override;

 private:
  std::optional<int32_t> mergeable(std::string_view text) const;
  bool push_candidate(std::string_view piece, ModelScratch& scratch, int32_t left) const;

  const Vocabulary& vocabulary_;
  std::vector<float> scores_;
  std::optional<int32_t> unknown_;
  std::array<int32_t, 256> byte_ids_;  // -1: none
};

}  // namespace lahar
