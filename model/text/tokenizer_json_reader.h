// Reads a tokenizer.json in one pass: the vocabulary and the merges, which are most of the file, into flat arrays, and all
// the rest into a small tree. Memory stays within a few times the size of the text.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "core/result.h"

namespace lahar {

struct TokenizerJson {
  struct Text {
    uint32_t offset = 0, length = 0;
  };
  struct Token {
    Text text;
    int64_t id = 0;    // of a vocabulary that is an object
    double score = 0;  // of one that is a list of [text, score], where the id is the position
  };
  struct Merge {
    Text left, right;
  };

  std::string_view view(Text text) const { return std::string_view(arena).substr(text.offset, text.length); }

  nlohmann::json rest;  // the file without model.vocab and model.merges; an object
  std::vector<Token> vocab;
  std::vector<Merge> merges;
  bool vocab_is_list = false;  // as Unigram models have it
  bool has_vocab = false, has_merges = false;
  std::string arena;
};

// Errors: kFormat where the text is no JSON or one of its parts has another type than it should, kLimit where it nests too
// deep or its tree is too large.
Result<TokenizerJson> read_tokenizer_json(std::string_view text);

}  // namespace lahar
