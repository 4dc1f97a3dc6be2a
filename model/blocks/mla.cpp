#include "blocks/mla.h"

#include <algorithm>

#include "blocks/linear.h"
#include "ops/attention.h"
#include "ops/mla_store.h"

namespace lahar {
namespace {

uint32_t stride_of(uint32_t width) { return (width + 3) / 4 * 4; }

// What lies in Scratch::block, for `rows` rows each.
struct MlaScratch {
  uint32_t query_down = 0, queries = 0, latents = 0;  // strides in floats

  explicit MlaScratch(const LayerSpec& layer)
      : query_down(stride_of(layer.mla.q_rank)),
        queries(stride_of(layer.attention.heads * (layer.mla.nope_dim + layer.mla.rope_dim))),
        latents(stride_of(layer.mla.latent_dim + layer.mla.rope_dim)) {}
  uint64_t bytes(uint32_t rows) const {
    return uint64_t{rows} * (2 * uint64_t{query_down} + queries + latents) * sizeof(float);
  }
};

uint64_t scratch_bytes(const gpu::Caps&, const ModelSpec&, const LayerSpec& layer, uint32_t rows) {
  return MlaScratch(layer).bytes(rows);
}

uint32_t widest_input(const LayerSpec& layer) {
  return std::max(layer.mla.q_rank, layer.attention.heads * layer.mla.value_dim);
}

// The queries [heads, nope + rope].
Status record_queries(const Forward& f, const LayerSpec& layer, const BlockWeights& w, const ops::Activations& normed,
                      const ops::Activations& down, const ops::Activations& down_normed, const ops::Activations& queries) {
  const LinearEpilogue end{.x_scratch = f.scratch.converted, .tuning = f.tuning};
  if (layer.mla.q_rank == 0)
    return record_linear(f.recorder, w.linears[kMlaQuery], normed, queries, f.step, f.precision, "queries", end);
  LAHAR_TRY(record_linear(f.recorder, w.linears[kMlaQueryDown], normed, down, f.step, f.precision, "queries down", end));
  LAHAR_TRY(ops::norm(f.recorder, {.kind = ops::NormKind::kRms,
                                   .x = down,
                                   .y = down_normed,
                                   .width = layer.mla.q_rank,
                                   .weight = w.vectors[kMlaQueryNorm],
                                   .eps = layer.mla.eps,
                                   .step = f.step,
                                   .label = "query norm"}));
  return record_linear(f.recorder, w.linears[kMlaQuery], down_normed, queries, f.step, f.precision, "queries", end);
}

Status record(const Forward& f, const LayerSpec& layer, const LayerWeights& weights, const ops::Activations& normed,
              const LayerMemory& memory) {
  const MlaSpec& m = layer.mla;
  const AttentionSpec& a = layer.attention;
  const BlockWeights& w = weights.mixer;
  const Scratch& s = f.scratch;
  const MlaScratch sizes(layer);
  uint64_t offset = 0;
  const auto take = [&](uint32_t stride) {
    const uint64_t bytes = uint64_t{f.step.bucket} * stride * sizeof(float);
    const ops::Activations rows{s.block.part(offset, bytes), stride};
    offset += bytes;
    return rows;
  };
  const ops::Activations queries = take(sizes.queries), latents = take(sizes.latents);
  const ops::Activations down = take(sizes.query_down), down_normed = take(sizes.query_down);

  LAHAR_TRY(record_queries(f, layer, w, normed, down, down_normed, queries));
  LAHAR_TRY(record_linear(f.recorder, w.linears[kMlaDown], normed, latents, f.step, f.precision, "latent",
                          {.x_scratch = s.converted, .tuning = f.tuning}));
  LAHAR_TRY(record_head_product(f.recorder, w.linears[kMlaKeyUp], f.step,
                                {.x = queries,
                                 .y = s.q,
                                 .heads = a.heads,
                                 .head_rows = m.keys_by_latent ? m.latent_dim : m.nope_dim,
                                 .x_head = m.nope_dim + m.rope_dim,
                                 .y_head = a.head_dim,
                                 .transposed = !m.keys_by_latent,
                                 .label = "queries to latent"}));
  const RopeSpec& rope = f.spec.ropes[static_cast<size_t>(a.rope)];
  LAHAR_TRY(ops::mla_store(f.recorder, {.queries = queries,
                                        .latents = latents,
                                        .q = s.q,
                                        .heads = a.heads,
                                        .nope = m.nope_dim,
                                        .kv = memory.kv,
                                        .norm = w.vectors[kMlaLatentNorm],
                                        .eps = m.eps,
                                        .pairing = rope.pairing,
                                        .inverse_frequencies = f.weights.ropes[static_cast<size_t>(a.rope)],
                                        .magnitude = rope.magnitude,
                                        .step = f.step,
                                        .label = "rope"}));
  LAHAR_TRY(ops::attention(f.recorder, {.q = s.q,
                                        .out = s.mid,
                                        .heads = a.heads,
                                        .kv = memory.kv,
                                        .scale = a.scale,
                                        .softcap = a.softcap,
                                        .window = a.window,
                                        .scratch = s.attention,
                                        .max_context = f.max_context,
                                        .step = f.step,
                                        .precision = f.precision,
                                        .tuning = f.tuning,
                                        .label = "attention"}));
  LAHAR_TRY(record_head_product(f.recorder, w.linears[kMlaValueUp], f.step,
                                {.x = s.mid,
                                 .y = s.q,
                                 .heads = a.heads,
                                 .head_rows = m.value_dim,
                                 .x_head = m.latent_dim,
                                 .y_head = m.value_dim,
                                 .label = "values from latent"}));
  return record_output(f, w.linears[kMlaOutput], s.q, layer.post_attention_norm ? &weights.post_attention : nullptr,
                       layer.residual_multiplier, nullptr, "attention output");
}

}  // namespace

const BlockKind kMlaBlock{scratch_bytes, widest_input, nullptr, record};

}  // namespace lahar
