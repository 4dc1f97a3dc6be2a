// Byte pair encoding: the pair with the lowest rank merges first, the leftmost among equals.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <vector>

#include "core/result.h"
#include "text/tokenizer_model.h"
#include "text/vocabulary.h"

namespace lahar {

// Pairs of tokens that merge, by rank. Filled with add(), then read by any number of threads.
class MergeTable {
 public:
  struct Merge {
    uint32_t rank = 0;
    int32_t id = 0;
  };
  explicit MergeTable(size_t expected);
  // The first of two merges of one pair counts. At most `expected` calls.
  void add(int32_t left, int32_t right, Merge merge);
  const Merge* find(int32_t left, int32_t right) const;

 private:
  static constexpr uint64_t kEmpty = ~uint64_t{0};
  struct Slot {
    uint64_t pair = kEmpty;
    Merge merge;
  };
  size_t slot_of(uint64_t pair) const;
  std::vector<Slot> slots_;
};

struct BpeOptions {
  bool byte_level = false;         // pieces are spelled byte by byte; else character by character
  bool byte_fallback = false;      // characters without a token are spelled with <0x..> tokens
  bool ignore_merges = false;      // a piece that is a token as a whole is taken without merging
  bool fuse_unknown = false;       // unknown characters in a row are one unknown token
  std::optional<int32_t> unknown;  // for a character without a token; without it such a character is dropped
};

class BpeModel final : public TokenizerModel {
 public:
  // `vocabulary` must outlive the model, and be complete.
  BpeModel(const Vocabulary& vocabulary, MergeTable merges, const BpeOptions& options);
  void encode(std::string_view piece, ModelScratch& scratch, std::vector<int32_t>& ids) const override;

 private:
  void add_characters(std::string_view piece, std::vector<ModelScratch::Symbol>& symbols) const;
  void push_candidate(ModelScratch& scratch, int32_t left) const;

  const Vocabulary& vocabulary_;
  MergeTable merges_;
  BpeOptions options_;
  std::array<int32_t, 256> byte_ids_;  // -1: none
};

// The token "<0x41>" of each byte, -1 where there is none.
std::array<int32_t, 256> find_byte_tokens(const Vocabulary& vocabulary);

}  // namespace lahar
