#include "engine/saved_sequence.h"

#include <bit>
#include <cstring>

#include "core/quote.h"
#include "gpu/pipeline_cache.h"
#include "ops/kv_type.h"

namespace lahar {
namespace {

constexpr char kMagic[8] = {'L', 'A', 'H', 'A', 'R', 'S', 'E', 'Q'};
constexpr uint32_t kVersion = 1;
constexpr size_t kMostModelText = 200;  // bytes of it in a message

Error damaged(const std::string& what) { return {ErrorCode::kFormat, "the saved sequence " + what}; }

void put(std::span<std::byte>& room, std::span<const std::byte> bytes) {
  if (!bytes.empty()) std::memcpy(room.data(), bytes.data(), bytes.size());
  room = room.subspan(bytes.size());
}

// Takes parts off the front of untrusted bytes.
class Reader {
 public:
  explicit Reader(std::span<const std::byte> bytes) : bytes_(bytes) {}

  Result<std::span<const std::byte>> take(uint64_t count, uint64_t bytes_each, const char* what) {
    const uint64_t left = bytes_.size() - at_;
    if (bytes_each != 0 && count > left / bytes_each)
      return damaged("has " + std::to_string(bytes_.size()) + " bytes, too few for its " + what + ": " +
                     std::to_string(count) + " of " + std::to_string(bytes_each) + " bytes from byte " +
                     std::to_string(at_) + " on");
    const auto part = bytes_.subspan(at_, count * bytes_each);
    at_ += part.size();
    return part;
  }
  template <typename T>
  Result<std::vector<T>> items(uint64_t count, const char* what) {
    LAHAR_ASSIGN(const std::span<const std::byte> part, take(count, sizeof(T), what));
    std::vector<T> items(count);
    if (!part.empty()) std::memcpy(items.data(), part.data(), part.size());
    return items;
  }
  uint64_t left() const { return bytes_.size() - at_; }

 private:
  std::span<const std::byte> bytes_;
  size_t at_ = 0;
};

uint64_t checksum(std::span<const std::byte> whole) { return gpu::hash_bytes(whole.first(whole.size() - sizeof(uint64_t))); }

Status check_model(const SequenceShape& shape, std::string_view model, uint64_t details) {
  if (model != shape.model)
    return Error{ErrorCode::kInvalidArgument, "the sequence was saved from " + quote(model, kMostModelText) +
                                                  "; this engine has " + quote(shape.model, kMostModelText)};
  if (details != shape.details)
    return Error{ErrorCode::kInvalidArgument, "the sequence was saved from another " + quote(shape.model, kMostModelText) +
                                                  ": its layers, or its RoPE, differ from this engine's"};
  return {};
}

Status check_contents(const SequenceShape& shape, const SavedSequence& saved) {
  for (const int32_t token : saved.tokens)
    if (token < 0 || static_cast<uint32_t>(token) >= shape.vocabulary)
      return damaged("has the token " + std::to_string(token) + ", which is not in the vocabulary of " +
                     std::to_string(shape.vocabulary));
  if (!saved.states.empty() && shape.state_bytes == 0) return damaged("has recurrent states, which its model has not");
  uint32_t last = 0;
  for (const SavedState& state : saved.states) {
    if (state.tokens <= last || state.tokens > saved.tokens.size() || state.checkpoint > 1)
      return damaged("has a state of after " + std::to_string(state.tokens) + " tokens behind one of after " +
                     std::to_string(last) + ", of " + std::to_string(saved.tokens.size()) + " tokens in all");
    last = state.tokens;
  }
  return {};
}

}  // namespace

SequenceShape SequenceShape::make(const ModelSpec& spec, const KvPageLayout& kv, const StateLayout& states) {
  SequenceShape shape{.page_bytes = kv.page_bytes, .state_bytes = states.slot_bytes, .vocabulary = spec.vocabulary};
  shape.model = spec.architecture + " " + quote(spec.name) + ", " + std::to_string(spec.layers.size()) +
                " layers, vocabulary " + std::to_string(spec.vocabulary) + ", KV cache " +
                std::string(ops::to_string(kv.type));
  std::vector<uint64_t> details = {params::kPageTokens, kv.page_bytes, states.slot_bytes, spec.hidden};
  const auto add = [&](std::initializer_list<uint64_t> numbers) { details.insert(details.end(), numbers); };
  for (size_t i = 0; i < spec.layers.size(); ++i) {
    const KvLayerGeometry& g = kv.layers[i];
    add({static_cast<uint64_t>(spec.layers[i].mixer), static_cast<uint64_t>(spec.layers[i].ffn_kind), g.kv_heads, g.head_dim,
         g.shared_dim, static_cast<uint32_t>(g.source), states.mixer_offsets[i], states.ffn_offsets[i],
         static_cast<uint32_t>(spec.layers[i].attention.rope)});
  }
  for (const RopeSpec& rope : spec.ropes) {  // keys are kept rotated
    add({static_cast<uint64_t>(rope.pairing), rope.dims, std::bit_cast<uint32_t>(rope.magnitude)});
    for (const float frequency : rope.inverse_frequencies) add({std::bit_cast<uint32_t>(frequency)});
  }
  shape.details = gpu::hash_bytes(std::as_bytes(std::span(details)));
  return shape;
}

uint64_t saved_bytes(const SequenceShape& shape, uint32_t tokens, uint32_t states) {
  return sizeof(SavedHeader) + shape.model.size() + uint64_t{tokens} * sizeof(int32_t) + states * sizeof(SavedState) +
         uint64_t{pages_of(tokens)} * shape.page_bytes + states * shape.state_bytes + sizeof(uint64_t);
}

SavedRoom begin_saved(const SequenceShape& shape, std::span<const int32_t> tokens, std::span<const SavedState> states,
                      std::span<std::byte> out) {
  SavedHeader header{.version = kVersion,
                     .model_bytes = static_cast<uint32_t>(shape.model.size()),
                     .details = shape.details,
                     .tokens = static_cast<uint32_t>(tokens.size()),
                     .states = static_cast<uint32_t>(states.size())};
  std::memcpy(header.magic, kMagic, sizeof(kMagic));
  put(out, std::as_bytes(std::span(&header, 1)));
  put(out, std::as_bytes(std::span(shape.model)));
  put(out, std::as_bytes(tokens));
  put(out, std::as_bytes(states));
  const uint64_t page_bytes = uint64_t{pages_of(header.tokens)} * shape.page_bytes;
  return {.pages = out.first(page_bytes), .states = out.subspan(page_bytes, states.size() * shape.state_bytes)};
}

void seal_saved(std::span<std::byte> whole) {
  const uint64_t sum = checksum(whole);
  std::memcpy(whole.last(sizeof(sum)).data(), &sum, sizeof(sum));
}

Result<SavedSequence> read_saved(const SequenceShape& shape, std::span<const std::byte> bytes) {
  Reader reader(bytes);
  LAHAR_ASSIGN(const std::vector<SavedHeader> headers, reader.items<SavedHeader>(1, "header"));
  const SavedHeader& header = headers[0];
  if (std::memcmp(header.magic, kMagic, sizeof(kMagic)) != 0)
    return damaged("does not begin with LAHARSEQ: it is none, or damaged");
  if (header.version != kVersion)
    return Error{ErrorCode::kUnsupported, "the saved sequence is of version " + std::to_string(header.version) +
                                              ", expected " + std::to_string(kVersion)};
  LAHAR_ASSIGN(const std::vector<char> model, reader.items<char>(header.model_bytes, "model's name"));
  LAHAR_TRY(check_model(shape, {model.data(), model.size()}, header.details));

  SavedSequence saved;
  LAHAR_ASSIGN(saved.tokens, reader.items<int32_t>(header.tokens, "tokens"));
  LAHAR_ASSIGN(saved.states, reader.items<SavedState>(header.states, "list of states"));
  LAHAR_ASSIGN(saved.pages, reader.take(pages_of(header.tokens), shape.page_bytes, "pages"));
  LAHAR_ASSIGN(saved.state_bytes, reader.take(header.states, shape.state_bytes, "states"));
  LAHAR_ASSIGN(const std::vector<uint64_t> sum, reader.items<uint64_t>(1, "checksum"));
  if (reader.left() > 0) return damaged("has " + std::to_string(reader.left()) + " bytes behind its end");
  if (sum[0] != checksum(bytes)) return damaged("does not match its checksum: it is damaged");
  LAHAR_TRY(check_contents(shape, saved));
  return saved;
}

}  // namespace lahar
