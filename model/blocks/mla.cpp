#include "blocks/mla.h"

#include <algorithm>

#include "blocks/block_scratch.h"
#include "blocks/linear.h"
#include "ops/attention.h"
#include "ops/mla_store.h"

namespace lahar {
namespace {

// What lies in Scratch::block.
struct MlaScratch {
  ops::Activations queries;            // [rows, heads * (nope + rope)]
  ops::Activations latents;            // [rows, latent + rope]
  ops::Activations down, down_normed;  // [rows, q_rank]
  uint64_t bytes = 0;
};

// With an empty `memory` only `bytes` means something.
MlaScratch lay_out(const gpu::BufferRange& memory, const LayerSpec& layer, uint32_t rows) {
  MlaScratch s;
  BlockScratch scratch(memory, rows);
  s.queries = scratch.take(layer.attention.heads * (layer.mla.nope_dim + layer.mla.rope_dim));
  s.latents = scratch.take(layer.mla.latent_dim + layer.mla.rope_dim);
  s.down = scratch.take(layer.mla.q_rank);
  s.down_normed = scratch.take(layer.mla.q_rank);
  s.bytes = scratch.bytes();
  return s;
}

uint64_t scratch_bytes(const gpu::Caps&, const ModelSpec&, const LayerSpec& layer, uint32_t rows) {
  return lay_out({}, layer, rows).bytes;
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
  const auto [queries, latents, down, down_normed, bytes] = lay_out(s.block, layer, f.step.bucket);

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
