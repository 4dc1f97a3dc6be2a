// Text to token ids and back, from a GGUF's metadata or a Hugging Face tokenizer.json.
// Models: SentencePiece-style merges by score, byte-level BPE, BPE with byte fallback, Unigram.
// Safe for untrusted input: files are checked while they are read, texts may hold any bytes (NUL, invalid UTF-8).
#pragma once

#include <cstdint>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/log.h"
#include "core/result.h"
#include "format/gguf.h"
#include "format/model_source.h"

namespace lahar {

struct EncodeOptions {
  bool add_bos = false;        // put bos() in front, where the model has one; the model's own habit is add_bos_default()
  bool parse_special = false;  // text that spells a special token becomes that token
};

// A part of a text. Bytes that are not trusted (what came from a chat message) never become a special token.
struct TextSegment {
  std::string_view text;
  bool trusted = false;
};

struct DecodeOptions {
  bool skip_special = false;  // leave special tokens out instead of spelling them
};

namespace detail {
struct TokenizerParts;
}

// Immutable. Thread rule: all methods may be called from any number of threads at once. Views that it returns live as long
// as it does.
//
// A token is special when the model marks it as a control token (or as its unknown token): it stands for no text, and only
// `parse_special` makes text into it. Added tokens that are not special ("user-defined") are ordinary vocabulary: they are
// found in all text.
class Tokenizer {
 public:
  // Errors of all three: kNotFound ("has no tokenizer") where the source has none, kUnsupported for a kind of tokenizer that
  // is not built here, kFormat for damage. The log gets warnings about what was ignored (an unknown pre-tokenizer's name,
  // merges of tokens that are not there).
  static Result<std::unique_ptr<Tokenizer>> from_source(const ModelSource& source, const Log& log = {});
  static Result<std::unique_ptr<Tokenizer>> from_gguf(const GgufMetadata& metadata, const Log& log = {});
  // `tokenizer_config` and `generation_config` may be empty objects.
  static Result<std::unique_ptr<Tokenizer>> from_tokenizer_json(std::string_view tokenizer_json,
                                                                const nlohmann::json& tokenizer_config,
                                                                const nlohmann::json& generation_config,
                                                                const Log& log = {});
  ~Tokenizer();
  Tokenizer(const Tokenizer&) = delete;
  Tokenizer& operator=(const Tokenizer&) = delete;

  // Errors: kLimit where the text is longer than 256 MiB, or a tokenizer's own pattern backtracks or its replacements grow
  // without end on it.
  Result<std::vector<int32_t>> encode(std::string_view text, const EncodeOptions& options = {}) const;
  // The segments are tokenized as the one text that they make together; a special token is recognized only where all its
  // bytes are trusted (and options.parse_special is set). So a message's text merges with the template's text around it
  // exactly as if it were one string, except that it cannot spell a special token, nor a part of one.
  Result<std::vector<int32_t>> encode(std::span<const TextSegment> segments, const EncodeOptions& options = {}) const;

  // The text of all ids; a space that encode() itself puts in front of a text is taken away again. May hold invalid UTF-8
  // where the ids do. Errors: kInvalidArgument for an id outside the vocabulary.
  Result<std::string> decode(std::span<const int32_t> ids, const DecodeOptions& options = {}) const;
  // The bytes that the token stands for when text is being produced (special tokens: their name); empty outside the
  // vocabulary and for ids without a token. Not always whole UTF-8 characters: see StreamDecoder.
  std::string_view piece(int32_t id) const;

  int32_t vocab_size() const;                               // highest id + 1; ids may have holes
  std::optional<int32_t> id(std::string_view token) const;  // by the spelling in the file ("<|im_end|>", "\u0120the")
  bool is_special(int32_t id) const;                        // false outside the vocabulary

  std::optional<int32_t> bos() const;
  std::optional<int32_t> eos() const;
  std::optional<int32_t> pad() const;
  std::optional<int32_t> unknown() const;
  // Every id that ends a reply, in rising order: eos, and what the files or well-known names mark as the end of a turn.
  std::span<const int32_t> end_of_generation() const;
  bool ends_generation(int32_t id) const;
  bool add_bos_default() const;

 private:
  explicit Tokenizer(std::unique_ptr<detail::TokenizerParts> parts);
  std::unique_ptr<const detail::TokenizerParts> parts_;
};

}  // namespace lahar
