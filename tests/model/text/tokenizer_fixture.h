// Small tokenizers for tests.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "gguf_bytes.h"
#include "text/tokenizer.h"
#include "text/utf8.h"

namespace lahar::test {

using Ids = std::vector<int32_t>;

inline Result<std::unique_ptr<Tokenizer>> open_gguf(const std::string& bytes, const Log& log = {}) {
  LAHAR_ASSIGN(const GgufFile file, GgufFile::from_memory(std::as_bytes(std::span(bytes)), "test.gguf"));
  return Tokenizer::from_gguf(file.metadata(), log);
}

inline Result<std::unique_ptr<Tokenizer>> open_json(const nlohmann::json& tokenizer, const nlohmann::json& config = {},
                                                    const nlohmann::json& generation = {}, const Log& log = {}) {
  return Tokenizer::from_tokenizer_json(tokenizer.dump(), config, generation, log);
}

inline std::unique_ptr<Tokenizer> must(Result<std::unique_ptr<Tokenizer>> result) {
  EXPECT_TRUE(result.ok()) << result.error().message;
  return result.ok() ? std::move(*result) : nullptr;
}

inline Ids encode(const Tokenizer& tokenizer, std::string_view text, EncodeOptions options = {}) {
  auto ids = tokenizer.encode(text, options);
  EXPECT_TRUE(ids.ok()) << ids.error().message;
  return ids.ok() ? *ids : Ids();
}

inline Ids encode(const Tokenizer& tokenizer, const std::vector<TextSegment>& segments) {
  auto ids = tokenizer.encode(segments, {.parse_special = true});
  EXPECT_TRUE(ids.ok()) << ids.error().message;
  return ids.ok() ? *ids : Ids();
}

// The texts of the tokens, with | between.
inline std::string cut(const Tokenizer& tokenizer, std::string_view text, EncodeOptions options = {}) {
  std::string out;
  for (int32_t id : encode(tokenizer, text, options)) out.append(out.empty() ? "" : "|").append(tokenizer.piece(id));
  return out;
}

inline std::string byte_spelling(std::string_view bytes) {
  std::string out;
  utf8::append_byte_alphabet(out, bytes);
  return out;
}

// A byte-level BPE: ids 0 to 255 are the bytes, 256 "<|start|>" and 257 "<|stop|>" special, 258 "<tool>" user-defined, then
// `merges`
// ("a b", in the byte alphabet) in order.
struct ByteLevelTokens {
  std::vector<std::string> tokens, merges;
  std::vector<int32_t> types;

  explicit ByteLevelTokens(std::vector<std::string> with_merges = {}) : merges(std::move(with_merges)) {
    for (int b = 0; b < 256; ++b) tokens.push_back(byte_spelling(std::string(1, static_cast<char>(b))));
    types.assign(256, 1);
    for (const char* special : {"<|start|>", "<|stop|>"}) tokens.push_back(special), types.push_back(3);
    tokens.push_back("<tool>"), types.push_back(4);
    for (const std::string& merge : merges) {
      const size_t space = merge.find(' ');
      tokens.push_back(merge.substr(0, space) + merge.substr(space + 1));
      types.push_back(1);
    }
  }

  GgufBytes gguf(std::string_view pre = "gpt-2") const {
    GgufBytes file;
    file.string("tokenizer.ggml.model", "gpt2").string("tokenizer.ggml.pre", pre);
    file.strings("tokenizer.ggml.tokens", tokens).i32s("tokenizer.ggml.token_type", types);
    file.strings("tokenizer.ggml.merges", merges);
    file.u32("tokenizer.ggml.bos_token_id", 256).u32("tokenizer.ggml.eos_token_id", 257);
    return file;
  }

  nlohmann::json json() const {
    nlohmann::json file;
    file["added_tokens"] = nlohmann::json::array();
    for (int id = 256; id < 259; ++id)
      file["added_tokens"].push_back(
          {{"id", id}, {"content", tokens[id]}, {"special", types[id] == 3}, {"normalized", false}});
    file["pre_tokenizer"] = {{"type", "ByteLevel"}, {"add_prefix_space", false}, {"use_regex", true}};
    file["decoder"] = {{"type", "ByteLevel"}};
    file["model"] = {{"type", "BPE"}, {"merges", merges}};
    for (size_t id = 0; id < tokens.size(); ++id)
      if (types[id] == 1) file["model"]["vocab"][tokens[id]] = id;
    return file;
  }
};

}  // namespace lahar::test
