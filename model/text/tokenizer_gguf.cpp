// A tokenizer from a GGUF's metadata (the keys tokenizer.ggml.*).
#include <algorithm>
#include <cctype>
#include <cmath>
#include <string>
#include <utility>

#include "text/tokenizer.h"
#include "text/tokenizer_parts.h"
#include "text/tokenizer_spm.h"
#include "text/utf8.h"

namespace lahar {
namespace {

Error format_error(std::string message) { return Error{ErrorCode::kFormat, "tokenizer: " + std::move(message)}; }

bool is_integer(GgufType type) {
  switch (type) {
    case GgufType::kU8:
    case GgufType::kI8:
    case GgufType::kU16:
    case GgufType::kI16:
    case GgufType::kU32:
    case GgufType::kI32:
    case GgufType::kU64:
    case GgufType::kI64: return true;
    default: return false;
  }
}

bool is_number(GgufType type) { return is_integer(type) || type == GgufType::kF32 || type == GgufType::kF64; }

// Builds from the keys step by step; each step leaves parts_ ready for the next.
class GgufBuilder {
 public:
  GgufBuilder(const GgufMetadata& metadata, const Log& log) : metadata_(metadata), log_(log) {}

  Result<std::unique_ptr<detail::TokenizerParts>> build() {
    const auto model = metadata_.string("tokenizer.ggml.model");
    if (!model) {
      if (metadata_.find("tokenizer.ggml.model")) return format_error("tokenizer.ggml.model is not a string");
      return Error{ErrorCode::kNotFound, "has no tokenizer (no key tokenizer.ggml.model)"};
    }
    if (*model == "none" || *model == "no_vocab") return Error{ErrorCode::kNotFound, "has no tokenizer"};
    if (*model != "llama" && *model != "gpt2" && *model != "gemma4")
      return Error{ErrorCode::kUnsupported,
                   "tokenizer: the model '" + utf8::printable(*model) + "' is not supported (llama, gpt2 and gemma4 are)"};
    spm_ = *model == "llama";
    characters_ = *model == "gemma4";
    LAHAR_TRY(read_tokens());
    LAHAR_TRY(read_special_ids());
    make_pieces(parts_->vocabulary, {.byte_level = !spm_ && !characters_, .metaspace = spm_ || characters_});
    add_found_tokens();
    if (spm_) LAHAR_TRY(make_spm());
    else LAHAR_TRY(make_bpe());
    parts_->add_bos = metadata_.boolean("tokenizer.ggml.add_bos_token").value_or(add_bos_habit_);
    collect_end_of_generation(*parts_, end_ids_);
    return std::move(parts_);
  }

 private:
  // The array at `key`, with one element for each token where it has to; null where the key is missing.
  Result<const GgufArray*> array(std::string_view key, bool (*accepts)(GgufType), const char* kind,
                                 std::optional<size_t> count) {
    const GgufEntry* entry = metadata_.find(key);
    if (!entry) return nullptr;
    const GgufArray* array = metadata_.array(key);
    if (!array || !(accepts(array->element) || array->count == 0))
      return format_error(std::string(key) + " is not an array of " + kind);
    if (count && array->count != *count)
      return format_error(std::string(key) + " has " + std::to_string(array->count) + " elements for " +
                          std::to_string(*count) + " tokens");
    return array;
  }
  static bool is_string(GgufType type) { return type == GgufType::kString; }

  Status read_tokens() {
    LAHAR_ASSIGN(const GgufArray* tokens, array("tokenizer.ggml.tokens", is_string, "strings", std::nullopt));
    if (!tokens || tokens->strings.empty()) return format_error("tokenizer.ggml.tokens is missing or empty");
    const size_t count = tokens->strings.size();
    LAHAR_ASSIGN(const GgufArray* types, array("tokenizer.ggml.token_type", is_integer, "integers", count));
    for (size_t i = 0; i < count; ++i) {
      const std::string_view text = tokens->strings[i];
      TokenType type = spm_ && !types && byte_token_value(text) ? TokenType::kByte : TokenType::kNormal;
      if (types) {
        const int64_t number = types->integer(i);
        if (number < 0 || number > static_cast<int64_t>(TokenType::kByte))
          return format_error("tokenizer.ggml.token_type[" + std::to_string(i) + "] is " + std::to_string(number) +
                              ", expected 1 to 6");
        if (number > 0) type = static_cast<TokenType>(number);  // 0 is "undefined", which is treated as ordinary
      }
      if (type == TokenType::kByte && !byte_token_value(text))
        return format_error("token " + std::to_string(i) + " is marked as a byte but spelled '" + utf8::printable(text) +
                            "'");
      LAHAR_TRY(parts_->vocabulary.set(static_cast<int64_t>(i), text, type, count));
    }
    parts_->vocabulary.build_index();
    return {};
  }

  Result<std::optional<int32_t>> special_id(std::string_view key, std::optional<int32_t> fallback) {
    const GgufEntry* entry = metadata_.find(key);
    if (!entry) return fallback && parts_->vocabulary.is_special(*fallback) ? fallback : std::nullopt;
    const auto id = metadata_.integer(key);
    if (!id && !metadata_.unsigned_integer(key)) return format_error(std::string(key) + " is not an integer");
    if (id && *id >= 0 && *id < parts_->vocabulary.size()) return std::optional(static_cast<int32_t>(*id));
    log_.warning("tokenizer: " + std::string(key) + " is outside the vocabulary and is ignored");
    return std::optional<int32_t>();
  }

  Status read_special_ids() {
    // Old SentencePiece files state none of the three; SentencePiece's own defaults are these.
    const auto fallback = [&](int32_t id) { return spm_ ? std::optional(id) : std::nullopt; };
    LAHAR_ASSIGN(parts_->bos, special_id("tokenizer.ggml.bos_token_id", fallback(1)));
    LAHAR_ASSIGN(parts_->eos, special_id("tokenizer.ggml.eos_token_id", fallback(2)));
    LAHAR_ASSIGN(parts_->unknown, special_id("tokenizer.ggml.unknown_token_id", fallback(0)));
    LAHAR_ASSIGN(parts_->pad, special_id("tokenizer.ggml.padding_token_id", std::nullopt));
    for (const char* key : {"tokenizer.ggml.eot_token_id", "tokenizer.ggml.eom_token_id"}) {
      LAHAR_ASSIGN(const auto id, special_id(key, std::nullopt));
      if (id) end_ids_.push_back(*id);
    }
    return {};
  }

  void add_found_tokens() {
    // The Phi-3 files carry no flag for it, but that model's markers take the white space after them along.
    std::string name(metadata_.string("general.name").value_or(""));
    std::transform(name.begin(), name.end(), name.begin(),
                   [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
    const bool phi3 = name.find("phi-3") != std::string::npos || name.find("phi3") != std::string::npos;
    const Vocabulary& vocabulary = parts_->vocabulary;
    size_t too_long = 0;
    for (int32_t id = 0; id < vocabulary.size(); ++id) {
      const bool special = vocabulary.is_special(id);
      if (!special && vocabulary.type(id) != TokenType::kUserDefined) continue;
      const std::string_view text = vocabulary.text(id);
      const bool strips = phi3 && text != "<unk>" && text != "<s>" && text != "<|endoftext|>";
      if (!text.empty() &&
          !parts_->raw_added.add({.id = id, .text = std::string(text), .special = special, .strip_right = strips}))
        ++too_long;
    }
    parts_->raw_added.seal();
    if (too_long > 0)
      log_.warning("tokenizer: " + std::to_string(too_long) + " added tokens are too long to be found in a text");
  }

  Status make_spm() {
    const auto count = static_cast<size_t>(parts_->vocabulary.size());
    LAHAR_ASSIGN(const GgufArray* array_of_scores, array("tokenizer.ggml.scores", is_number, "numbers", count));
    if (!array_of_scores) return format_error("tokenizer.ggml.scores is missing");
    std::vector<float> scores(count);
    for (size_t i = 0; i < count; ++i) {
      scores[i] = static_cast<float>(array_of_scores->number(i));
      if (std::isnan(scores[i])) return format_error("tokenizer.ggml.scores[" + std::to_string(i) + "] is not a number");
    }
    const bool prefix = metadata_.boolean("tokenizer.ggml.add_space_prefix").value_or(true);
    if (prefix) parts_->normalizer.add(Normalizer::Prepend{std::string(kMetaspace)});
    parts_->normalizer.add(Normalizer::Replace{std::nullopt, " ", std::string(kMetaspace)});
    parts_->strips_first_space = prefix;
    parts_->model = std::make_unique<SpmModel>(parts_->vocabulary, std::move(scores), parts_->unknown);
    add_bos_habit_ = true;
    return {};
  }

  // Gemma 4: merges of characters instead of bytes; runs of newlines stay apart from everything else.
  Status name_character_bpe() {
    parts_->normalizer.add(Normalizer::Replace{std::nullopt, " ", std::string(kMetaspace)});
    LAHAR_ASSIGN(Regex regex, Regex::compile("[^\\n]+|\\n+"));
    parts_->pre_tokenizer.add(PreTokenizer::Split{std::move(regex)});
    add_bos_habit_ = true;
    return {};
  }

  Status name_byte_bpe(bool& ignore_merges) {
    const GgufEntry* pre = metadata_.find("tokenizer.ggml.pre");
    const auto name = metadata_.string("tokenizer.ggml.pre");
    if (pre && !name) return format_error("tokenizer.ggml.pre is not a string");
    auto named = named_pre_tokenizer(name.value_or(""));
    if (!named) {
      log_.warning("tokenizer: " +
                   (name ? "the pre-tokenizer '" + utf8::printable(*name) + "' is unknown"
                         : std::string("no pre-tokenizer is named")) +
                   "; the default one is used, and some texts may be cut differently from how the model learned them");
      named = named_pre_tokenizer("default");
    }
    for (const std::string_view pattern : named->patterns) {
      LAHAR_ASSIGN(Regex regex, Regex::compile(pattern));
      parts_->pre_tokenizer.add(PreTokenizer::Split{std::move(regex)});
    }
    add_bos_habit_ = named->add_bos;
    ignore_merges = named->ignore_merges;
    return {};
  }

  Status make_bpe() {
    BpeOptions options{.byte_level = !characters_, .byte_fallback = characters_};
    LAHAR_TRY(characters_ ? name_character_bpe() : name_byte_bpe(options.ignore_merges));
    LAHAR_ASSIGN(const GgufArray* merges, array("tokenizer.ggml.merges", is_string, "strings", std::nullopt));
    if (!merges) return format_error("tokenizer.ggml.merges is missing");
    MergeBuilder builder(parts_->vocabulary, merges->strings.size());
    for (const std::string_view merge : merges->strings) {
      const size_t space = merge.find(' ', 1);
      if (space == std::string_view::npos || space + 1 == merge.size())
        return format_error("the merge '" + utf8::printable(merge) + "' is not two tokens with a space between");
      builder.add(merge.substr(0, space), merge.substr(space + 1));
    }
    parts_->model = std::make_unique<BpeModel>(parts_->vocabulary, builder.finish(log_), options);
    return {};
  }

  const GgufMetadata& metadata_;
  const Log& log_;
  bool spm_ = false, characters_ = false;
  bool add_bos_habit_ = false;
  std::vector<int64_t> end_ids_;
  std::unique_ptr<detail::TokenizerParts> parts_ = std::make_unique<detail::TokenizerParts>();
};

}  // namespace

Result<std::unique_ptr<Tokenizer>> Tokenizer::from_gguf(const GgufMetadata& metadata, const Log& log) {
  LAHAR_ASSIGN(auto parts, GgufBuilder(metadata, log).build());
  return std::unique_ptr<Tokenizer>(new Tokenizer(std::move(parts)));
}

}  // namespace lahar
