#include "text/tokenizer.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include "text/tokenizer_parts.h"

namespace lahar {
namespace {

constexpr size_t kLongestText = size_t{1} << 28;

// One call of encode(): the parts, and the room that it works in.
class Encoder {
 public:
  explicit Encoder(const detail::TokenizerParts& parts) : parts_(parts) {}

  Status encode(std::string_view text, std::span<const ByteRange> trusted) {
    size_t at = 0;
    while (const auto match = parts_.raw_added.find(text, at, trusted)) {
      LAHAR_TRY(encode_rest(text.substr(at, match->begin - at), at == 0));
      ids.push_back(match->id);
      at = match->end;
    }
    return encode_rest(text.substr(at), at == 0);
  }

  std::vector<int32_t> ids;

 private:
  Status encode_rest(std::string_view part, bool first) {
    if (part.empty()) return {};
    std::string text(part);
    LAHAR_TRY(parts_.normalizer.apply(text, 16 * part.size() + (1 << 20), regex_));
    size_t at = 0;
    while (const auto match = parts_.normalized_added.find(text, at, {})) {
      LAHAR_TRY(encode_plain(text.substr(at, match->begin - at), first && at == 0));
      ids.push_back(match->id);
      at = match->end;
    }
    return encode_plain(at == 0 ? std::move(text) : text.substr(at), first && at == 0);
  }

  Status encode_plain(std::string text, bool first) {
    LAHAR_TRY(parts_.pre_tokenizer.apply(std::move(text), first, regex_, pieces_));
    for (const TextPart& part : pieces_.parts)
      parts_.model->encode(std::string_view(pieces_.text).substr(part.begin, part.end - part.begin), model_, ids);
    return {};
  }

  const detail::TokenizerParts& parts_;
  RegexScratch regex_;
  PreTokenizer::Pieces pieces_;
  ModelScratch model_;
};

}  // namespace

Tokenizer::Tokenizer(std::unique_ptr<detail::TokenizerParts> parts) : parts_(std::move(parts)) {}
Tokenizer::~Tokenizer() = default;

Result<std::vector<int32_t>> Tokenizer::encode(std::string_view text, const EncodeOptions& options) const {
  const TextSegment segment{text, true};
  return encode(std::span(&segment, 1), options);
}

Result<std::vector<int32_t>> Tokenizer::encode(std::span<const TextSegment> segments, const EncodeOptions& options) const {
  size_t total = 0;
  std::vector<ByteRange> trusted;
  for (const TextSegment& segment : segments) {
    const size_t begin = total;
    total += segment.text.size();
    if (segment.text.size() > kLongestText || total > kLongestText)
      return Error{ErrorCode::kLimit, "tokenizer: a text of more than " + std::to_string(kLongestText) + " bytes"};
    if (!options.parse_special || !segment.trusted || begin == total) continue;
    if (!trusted.empty() && trusted.back().end == begin) trusted.back().end = total;
    else trusted.push_back({begin, total});
  }
  std::string joined;
  if (segments.size() > 1) {
    joined.reserve(total);
    for (const TextSegment& segment : segments) joined.append(segment.text);
  }
  Encoder encoder(*parts_);
  if (options.add_bos && parts_->bos) encoder.ids.push_back(*parts_->bos);
  LAHAR_TRY(encoder.encode(segments.size() == 1 ? segments[0].text : std::string_view(joined), trusted));
  return std::move(encoder.ids);
}

Result<std::string> Tokenizer::decode(std::span<const int32_t> ids, const DecodeOptions& options) const {
  std::string text;
  bool at_start = parts_->strips_first_space;
  for (size_t i = 0; i < ids.size(); ++i) {
    if (ids[i] < 0 || ids[i] >= vocab_size())
      return Error{ErrorCode::kInvalidArgument, "id " + std::to_string(ids[i]) + " at position " + std::to_string(i) +
                                                    " is outside the vocabulary of " + std::to_string(vocab_size()) +
                                                    " tokens"};
    const bool special = is_special(ids[i]);
    if (special && options.skip_special) continue;
    std::string_view bytes = piece(ids[i]);
    if (!special && at_start) {
      if (bytes.starts_with(' ')) bytes.remove_prefix(1);
      at_start = false;
    }
    text += bytes;
  }
  return text;
}

std::string_view Tokenizer::piece(int32_t id) const {
  return parts_->vocabulary.contains(id) ? parts_->vocabulary.piece(id) : std::string_view();
}

int32_t Tokenizer::vocab_size() const { return parts_->vocabulary.size(); }
std::optional<int32_t> Tokenizer::id(std::string_view token) const { return parts_->vocabulary.find(token); }
bool Tokenizer::is_special(int32_t id) const { return parts_->vocabulary.is_special(id); }
std::optional<int32_t> Tokenizer::bos() const { return parts_->bos; }
std::optional<int32_t> Tokenizer::eos() const { return parts_->eos; }
std::optional<int32_t> Tokenizer::pad() const { return parts_->pad; }
std::optional<int32_t> Tokenizer::unknown() const { return parts_->unknown; }
std::span<const int32_t> Tokenizer::end_of_generation() const { return parts_->end_of_generation; }
bool Tokenizer::ends_generation(int32_t id) const {
  return std::binary_search(parts_->end_of_generation.begin(), parts_->end_of_generation.end(), id);
}
bool Tokenizer::add_bos_default() const { return parts_->add_bos && parts_->bos; }

Result<std::unique_ptr<Tokenizer>> Tokenizer::from_source(const ModelSource& source, const Log& log) {
  auto tokenizer = [&]() -> Result<std::unique_ptr<Tokenizer>> {
    if (const GgufFile* gguf = source.gguf()) return from_gguf(gguf->metadata(), log);
    const HfFolder& folder = *source.hf();
    const auto text = folder.tokenizer_json();
    if (!text) return Error{ErrorCode::kNotFound, "has no tokenizer (no tokenizer.json)"};
    nlohmann::json generation = folder.generation_config();
    // Older folders name these ids in config.json alone.
    for (const char* key : {"bos_token_id", "eos_token_id", "pad_token_id"})
      if (!generation.contains(key) && folder.config().contains(key)) generation[key] = folder.config()[key];
    return from_tokenizer_json(*text, folder.tokenizer_config(), generation, log);
  }();
  if (!tokenizer) return annotate(std::move(tokenizer).error(), source.name());
  return tokenizer;
}

}  // namespace lahar
