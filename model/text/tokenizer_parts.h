// What a Tokenizer is made of, and the steps that its two builders (GGUF, tokenizer.json) share.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>
#include <vector>

#include "core/log.h"
#include "text/pretokenize.h"
#include "text/tokenizer_added.h"
#include "text/tokenizer_bpe.h"
#include "text/tokenizer_model.h"
#include "text/vocabulary.h"

namespace lahar {

inline constexpr std::string_view kMetaspace = "\xE2\x96\x81";  // U+2581, how SentencePiece writes a space

namespace detail {

// In the order in which a text passes through. The model refers to the vocabulary, so that this never moves.
struct TokenizerParts {
  TokenizerParts() = default;
  TokenizerParts(const TokenizerParts&) = delete;
  TokenizerParts& operator=(const TokenizerParts&) = delete;

  Vocabulary vocabulary;
  AddedTokens raw_added;  // found in the text as it is given
  Normalizer normalizer;
  AddedTokens normalized_added;  // found in what the normalizer made of the rest
  PreTokenizer pre_tokenizer;
  std::unique_ptr<TokenizerModel> model;
  bool strips_first_space = false;  // in decode(): encode() puts a space in front

  std::optional<int32_t> bos, eos, pad, unknown;
  std::vector<int32_t> end_of_generation;  // sorted, once each
  bool add_bos = false;
};

}  // namespace detail

// The byte of a token that is spelled "<0x41>".
std::optional<uint8_t> byte_token_value(std::string_view text);

// Gives every token its bytes. byte_level: tokens of the vocabulary proper are spelled in the byte alphabet. metaspace:
// U+2581 stands for a space in all that is not special. byte_tokens: tokens of type kByte stand for a byte.
struct PieceRules {
  bool byte_level = false;
  bool metaspace = false;
  bool metaspace_in_user_defined = false;
};
void make_pieces(Vocabulary& vocabulary, const PieceRules& rules);

// Collects merges by their spelling; those whose parts or result are not (ordinary) tokens are counted and left out.
class MergeBuilder {
 public:
  MergeBuilder(const Vocabulary& vocabulary, size_t expected) : vocabulary_(vocabulary), table_(expected) {}
  void add(std::string_view left, std::string_view right);
  MergeTable finish(const Log& log);

 private:
  const Vocabulary& vocabulary_;
  MergeTable table_;
  std::string joined_;
  uint32_t count_ = 0, ignored_ = 0;
};

// Completes parts.end_of_generation: `ids` that are in the vocabulary, eos, and added tokens with well-known names.
void collect_end_of_generation(detail::TokenizerParts& parts, std::vector<int64_t> ids);

}  // namespace lahar
