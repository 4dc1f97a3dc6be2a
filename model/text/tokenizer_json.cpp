// A tokenizer from a Hugging Face tokenizer.json, with what tokenizer_config.json and generation_config.json add.
#include <algorithm>
#include <cmath>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>

#include "text/tokenizer.h"
#include "text/tokenizer_json_reader.h"
#include "text/tokenizer_json_steps.h"
#include "text/tokenizer_parts.h"
#include "text/tokenizer_unigram.h"
#include "text/utf8.h"

namespace lahar {
namespace {

using nlohmann::json;

Error format_error(std::string_view message) {
  return Error{ErrorCode::kFormat, std::string("tokenizer.json: ").append(message)};
}

// The token that a post-processor puts in front of a text; empty where it puts none.
std::string template_prefix(const json& processor) {
  if (const json* all = member(processor, "processors"); all && all->is_array())
    for (const json& one : *all)
      if (std::string prefix = template_prefix(one); !prefix.empty()) return prefix;
  const json* single = member(processor, "single");
  if (!single || !single->is_array() || single->empty()) return {};
  const json* special = member(single->front(), "SpecialToken");
  const json* id = special ? member(*special, "id") : nullptr;
  return id && id->is_string() ? id->get<std::string>() : std::string();
}

class JsonBuilder {
 public:
  JsonBuilder(TokenizerJson file, const json& tokenizer_config, const json& generation_config, const Log& log)
      : file_(std::move(file)), config_(tokenizer_config), generation_(generation_config), log_(log) {}

  Result<std::unique_ptr<detail::TokenizerParts>> build() {
    LAHAR_TRY(read_model());
    LAHAR_ASSIGN(JsonSteps steps, read_json_steps(file_.rest));
    for (Normalizer::Step& step : steps.normalizers) parts_->normalizer.add(std::move(step));
    for (PreTokenizer::Step& step : steps.pre_tokenizers) parts_->pre_tokenizer.add(std::move(step));
    parts_->strips_first_space = steps.strips_first_space;
    LAHAR_TRY(set_vocabulary());
    LAHAR_TRY(add_tokens());
    make_pieces(parts_->vocabulary,
                {.byte_level = steps.byte_level, .metaspace = steps.metaspace, .metaspace_in_user_defined = true});
    LAHAR_TRY(unigram_ ? make_unigram() : make_bpe(steps.byte_level));
    set_special_ids();
    return std::move(parts_);
  }

 private:
  Status read_model() {
    const json* model = member(file_.rest, "model");
    if (!model || !model->is_object()) return format_error("'model' is not there, or is not an object");
    model_ = model;
    // The oldest files do not name the type of a BPE.
    LAHAR_ASSIGN(const std::string type, string_member(*model, "type", file_.has_merges ? "BPE" : ""));
    if (type != "BPE" && type != "Unigram")
      return Error{ErrorCode::kUnsupported,
                   "tokenizer.json: the model '" + utf8::printable(type) + "' is not supported (BPE and Unigram are)"};
    unigram_ = type == "Unigram";
    if (!file_.has_vocab || file_.vocab.empty() || file_.vocab_is_list != unigram_)
      return format_error("model.vocab is missing, empty or of another type than a " + type + " has");
    if (!unigram_ && !file_.has_merges) return format_error("model.merges is not there, or is not an array");
    for (const char* key : {"continuing_subword_prefix", "end_of_word_suffix"}) {
      LAHAR_ASSIGN(const std::string affix, string_member(*model, key, ""));
      if (!affix.empty())
        return Error{ErrorCode::kUnsupported, "tokenizer.json: a " + std::string(key) + " is not supported"};
    }
    LAHAR_ASSIGN(byte_fallback_, bool_member(*model, "byte_fallback", false));
    return {};
  }

  Status set_vocabulary() {
    for (const TokenizerJson::Token& token : file_.vocab) {
      const std::string_view text = file_.view(token.text);
      const bool is_byte = byte_fallback_ && byte_token_value(text);
      LAHAR_TRY(parts_->vocabulary.set(token.id, text, is_byte ? TokenType::kByte : TokenType::kNormal, file_.vocab.size()));
    }
    parts_->vocabulary.build_index();
    return {};
  }

  Status add_tokens() {
    const json* tokens = member(file_.rest, "added_tokens");
    if (!tokens) return {};
    if (!tokens->is_array()) return format_error("added_tokens is not an array");
    size_t too_long = 0;
    RegexScratch scratch;
    std::map<int64_t, bool> specials;  // of the ids so far
    for (const json& entry : *tokens) {
      AddedToken token;
      LAHAR_ASSIGN(token.text, string_member(entry, "content"));
      const json* id = member(entry, "id");
      const auto id_in_file = id ? integer_of(*id) : std::nullopt;
      if (!id_in_file) return format_error("an added token without an integer id");
      LAHAR_ASSIGN(token.special, bool_member(entry, "special", false));
      LAHAR_ASSIGN(token.single_word, bool_member(entry, "single_word", false));
      LAHAR_ASSIGN(token.strip_left, bool_member(entry, "lstrip", false));
      LAHAR_ASSIGN(token.strip_right, bool_member(entry, "rstrip", false));
      LAHAR_ASSIGN(const bool normalized, bool_member(entry, "normalized", !token.special));
      // A token that the model has already keeps the model's id.
      const auto known = parts_->vocabulary.find(token.text);
      const int64_t final_id = known ? *known : *id_in_file;
      // One id for an ordinary text and a special one would let the first spell the second.
      if (specials.emplace(final_id, token.special).first->second != token.special)
        return format_error("the id " + std::to_string(final_id) + " belongs to a special token and to one that is not");
      LAHAR_TRY(parts_->vocabulary.set(final_id, token.text, token.special ? TokenType::kControl : TokenType::kUserDefined,
                                       file_.vocab.size() + tokens->size()));
      token.id = static_cast<int32_t>(final_id);
      // Special tokens are looked for in the text as it was written, whatever the file says: what may be trusted is known
      // there alone.
      if (token.special || !normalized) {
        too_long += !token.text.empty() && !parts_->raw_added.add(std::move(token));
      } else {
        LAHAR_TRY(parts_->normalizer.apply(token.text, 1 << 20, scratch));
        too_long += !token.text.empty() && !parts_->normalized_added.add(std::move(token));
      }
    }
    parts_->raw_added.seal();
    parts_->normalized_added.seal();
    parts_->vocabulary.build_index();
    if (too_long > 0)
      log_.warning("tokenizer: " + std::to_string(too_long) + " added tokens are too long to be found in a text");
    return {};
  }

  Status make_bpe(bool byte_level) {
    MergeBuilder builder(parts_->vocabulary, file_.merges.size());
    for (const TokenizerJson::Merge& merge : file_.merges) {
      if (merge.left.length == 0 || merge.right.length == 0) return format_error("a merge with an empty part");
      builder.add(file_.view(merge.left), file_.view(merge.right));
    }
    BpeOptions options{.byte_level = byte_level, .byte_fallback = byte_fallback_};
    LAHAR_ASSIGN(options.ignore_merges, bool_member(*model_, "ignore_merges", false));
    LAHAR_ASSIGN(options.fuse_unknown, bool_member(*model_, "fuse_unk", false));
    LAHAR_ASSIGN(const std::string unknown, string_member(*model_, "unk_token", ""));
    if (!unknown.empty()) {
      options.unknown = parts_->vocabulary.find(unknown);
      if (!options.unknown)
        return format_error("the unknown token '" + utf8::printable(unknown) + "' is not in the vocabulary");
      parts_->unknown = options.unknown;
    }
    parts_->model = std::make_unique<BpeModel>(parts_->vocabulary, builder.finish(log_), options);
    return {};
  }

  Status make_unigram() {
    std::vector<float> scores(static_cast<size_t>(parts_->vocabulary.size()), 0);
    for (const TokenizerJson::Token& token : file_.vocab) {
      if (!std::isfinite(token.score)) return format_error("a score of the vocabulary is not a finite number");
      scores[token.id] = static_cast<float>(token.score);
    }
    if (const json* id = member(*model_, "unk_id")) {
      const auto number = integer_of(*id);
      if (!number || *number < 0 || *number >= static_cast<int64_t>(file_.vocab.size()))
        return format_error("unk_id is not an id of the vocabulary");
      parts_->unknown = static_cast<int32_t>(*number);
      if (!parts_->vocabulary.is_special(*parts_->unknown))
        parts_->vocabulary.set_type(*parts_->unknown, TokenType::kUnknown);
    }
    parts_->model = std::make_unique<UnigramModel>(parts_->vocabulary, std::move(scores), parts_->unknown, byte_fallback_);
    return {};
  }

  // A special token by its name in tokenizer_config.json ("bos_token": a string, or an object with "content"), else by its
  // id in generation_config.json.
  std::optional<int32_t> special_id(const std::string& name) const {
    const json* token = member(config_, name);
    if (token && token->is_object()) token = member(*token, "content");
    if (token && token->is_string())
      if (const auto id = parts_->vocabulary.find(token->get<std::string>())) return id;
    const json* id = member(generation_, name + "_id");
    if (id && id->is_array() && !id->empty()) id = &id->front();
    const auto number = id ? integer_of(*id) : std::nullopt;
    if (!number || *number < 0 || *number >= parts_->vocabulary.size()) return std::nullopt;
    const auto found = static_cast<int32_t>(*number);
    return parts_->vocabulary.contains(found) ? std::optional(found) : std::nullopt;
  }

  void set_special_ids() {
    parts_->bos = special_id("bos_token");
    parts_->eos = special_id("eos_token");
    parts_->pad = special_id("pad_token");
    std::string prefix;
    if (const json* processor = member(file_.rest, "post_processor")) prefix = template_prefix(*processor);
    const auto prefix_id = prefix.empty() ? std::nullopt : parts_->vocabulary.find(prefix);
    if (!parts_->bos) parts_->bos = prefix_id;
    parts_->add_bos = prefix_id.has_value() && prefix_id == parts_->bos;
    // Llama's and Gemma's classes make the post-processor anew from this flag; the others go by the file.
    if (const json* flag = member(config_, "add_bos_token"); flag && flag->is_boolean()) {
      const json* name = member(config_, "tokenizer_class");
      const std::string type = name && name->is_string() ? name->get<std::string>() : std::string();
      const bool rules = type.find("Llama") != std::string::npos || type.find("Gemma") != std::string::npos;
      if (rules || flag->get<bool>()) parts_->add_bos = flag->get<bool>();
    }
    std::vector<int64_t> ends;
    if (const json* ids = member(generation_, "eos_token_id")) {
      const auto add = [&](const json& id) {
        if (const auto number = integer_of(id)) ends.push_back(*number);
      };
      if (ids->is_array())
        for (const json& id : *ids) add(id);
      else add(*ids);
    }
    collect_end_of_generation(*parts_, std::move(ends));
  }

  TokenizerJson file_;
  const json& config_;
  const json& generation_;
  const Log& log_;
  const json* model_ = nullptr;
  bool unigram_ = false, byte_fallback_ = false;
  std::unique_ptr<detail::TokenizerParts> parts_ = std::make_unique<detail::TokenizerParts>();
};

}  // namespace

Result<std::unique_ptr<Tokenizer>> Tokenizer::from_tokenizer_json(std::string_view tokenizer_json,
                                                                  const json& tokenizer_config,
                                                                  const json& generation_config, const Log& log) {
  LAHAR_ASSIGN(TokenizerJson file, read_tokenizer_json(tokenizer_json));
  LAHAR_ASSIGN(auto parts, JsonBuilder(std::move(file), tokenizer_config, generation_config, log).build());
  return std::unique_ptr<Tokenizer>(new Tokenizer(std::move(parts)));
}

}  // namespace lahar
