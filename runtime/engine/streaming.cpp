#include "engine/streaming.h"

#include <algorithm>

#include "gpu/commands.h"
#include "ops/rotate_keys.h"

namespace lahar {
uint32_t StreamingOptions::sink_pages() const { return pages_of(sinks); }
// Few rolls for a quarter of the window's memory more: behind a roll there is a step's room for a chunk of a prompt.
uint32_t StreamingOptions::step_pages() const { return std::clamp(pages_of(window) / 8, 1u, 64u); }
uint32_t StreamingOptions::context() const {
  return (sink_pages() + pages_of(window) + 2 * step_pages()) * params::kPageTokens;
}
uint32_t StreamingOptions::pages() const { return context() / params::kPageTokens + sink_pages(); }

Status check_streaming(const ModelSpec& spec, const StreamingOptions& options) {
  const auto unsupported = [](const std::string& what) {
    return Error{ErrorCode::kUnsupported, "streaming is not supported for models with " + what};
  };
  constexpr uint32_t kMost = 1u << 16;
  if (options.sinks > kMost || options.window > kMost || options.context() / params::kPageTokens > params::kMaxPageUpdates)
    return Error{ErrorCode::kInvalidArgument, "streaming: sinks and window of " + std::to_string(options.sinks) + " and " +
                                                  std::to_string(options.window) + " tokens are more than " +
                                                  std::to_string(params::kMaxPageUpdates) + " pages"};
  if (spec.learned_positions) return unsupported("learned positions");
  for (const LayerSpec& layer : spec.layers) {
    const AttentionSpec& a = layer.attention;
    if (a.chunk > 0) return unsupported("chunked attention");
    if (a.rope >= 0 && a.qk_norm_after_rope && a.qk_norm_weight) return unsupported("weighted norms behind RoPE");
  }
  return {};
}

bool must_roll(const ModelSpec& spec, const StreamingOptions& options) {
  const auto has_keys = [](const LayerSpec& layer) { return layer.attention.kv_heads > 0; };
  return options.on() && std::any_of(spec.layers.begin(), spec.layers.end(), has_keys);
}

Result<Streaming> Streaming::create(const StreamingOptions& options, gpu::Device& device, const ModelSpec& spec,
                                    const ModelWeights& weights, const KvStorage& kv, kv::PagePool& pool) {
  Streaming s;
  s.options_ = options, s.device_ = &device, s.spec_ = &spec, s.weights_ = &weights, s.kv_ = &kv;
  for (uint32_t i = 0; i < options.sink_pages(); ++i) {
    const auto page = pool.allocate();
    if (!page) return Error{ErrorCode::kOutOfMemory, "streaming: the KV pool has no page for the sinks"};
    s.first_sinks_.push_back(*page);
  }
  return s;
}

Status Streaming::rotate_sinks(const kv::BlockTable& table) const {
  gpu::Recorder recorder(*device_);
  for (uint32_t i = 0; i < options_.sink_pages(); ++i) {
    const gpu::BufferRange source = kv_->page(first_sinks_[i]), target = kv_->page(table.pages()[i]);
    recorder.copy("sinks", source, target);
    for (uint32_t index = 0; index < spec_->layers.size(); ++index) {
      const LayerSpec& layer = spec_->layers[index];
      const AttentionSpec& a = layer.attention;
      if (a.rope < 0 || a.kv_source >= 0) continue;
      const RopeSpec& rope = spec_->ropes[static_cast<size_t>(a.rope)];
      LAHAR_TRY(ops::rotate_keys(recorder, {.source = source,
                                            .target = target,
                                            .kv = kv_->layer(index),
                                            .pairing = rope.pairing,
                                            .first_dim = layer.mixer == Mixer::kMla ? layer.mla.latent_dim : 0,
                                            .rope_dims = rope.dims,
                                            .inverse_frequencies = weights_->ropes[static_cast<size_t>(a.rope)],
                                            .delta = offset_,
                                            .label = "rotate sinks"}));
    }
  }
  LAHAR_ASSIGN(const gpu::CommandList list, recorder.finish());
  const gpu::CommandList* lists[] = {&list};
  LAHAR_ASSIGN(const uint64_t done, device_->submit(lists));
  LAHAR_TRY(device_->wait(done));
  return {};
}

Result<uint32_t> Streaming::roll(kv::BlockTable& table) {
  const uint32_t sinks = options_.sink_pages(), step = options_.step_pages();
  if (offset_ == 0)
    for (uint32_t i = 0; i < sinks; ++i) first_sinks_[i] = table.exchange(i, first_sinks_[i]);
  table.move_to_end(sinks, step);
  offset_ += step * params::kPageTokens;
  if (sinks > 0) LAHAR_TRY(rotate_sinks(table));
  return step * params::kPageTokens;
}

}  // namespace lahar
