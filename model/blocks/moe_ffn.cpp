#include "blocks/moe_ffn.h"

#include <algorithm>

#include "arch/experts.h"
#include "blocks/block_scratch.h"
#include "blocks/dense_ffn.h"
#include "blocks/linear.h"
#include "ops/moe.h"

namespace lahar {
namespace {

// What the block needs besides the layer's common activations, one behind the other.
struct ExpertScratch {
  ops::Activations logits;  // [rows, experts]
  ops::MoeRoutes routes;
  ops::Activations shared_wide, shared_mid;  // [rows, 2 shared_width], [rows, shared_width]
  ops::Activations latent_in, latent_out;    // [rows, latent]
  gpu::BufferRange moe;
  uint64_t bytes = 0;
};

// The sizes alone: all that moe_scratch_bytes() looks at, and all that is known before weights are loaded.
ops::ExpertsRef sizes_of(const ModelSpec& spec, const MoeSpec& moe) {
  ops::ExpertsRef experts;
  experts.experts = moe.experts;
  experts.gated = moe.gated;
  experts.gate_up.rows = (moe.gated ? 2 : 1) * moe.width;
  experts.gate_up.cols = experts.down.rows = moe.latent > 0 ? moe.latent : spec.hidden;
  experts.down.cols = moe.width;
  return experts;
}

// With an empty `memory` only `bytes` means something.
ExpertScratch lay_out(const gpu::BufferRange& memory, const ModelSpec& spec, const MoeSpec& moe, uint32_t rows) {
  ExpertScratch s;
  BlockScratch scratch(memory, rows);
  s.logits = scratch.take(moe.experts);
  s.routes.ids = scratch.take_bytes(ops::moe_route_bytes(rows, moe.chosen));
  s.routes.weights = scratch.take_bytes(ops::moe_route_bytes(rows, moe.chosen));
  if (moe.shared_width > 0) {
    s.shared_wide = scratch.take(2 * moe.shared_width);
    s.shared_mid = scratch.take(moe.shared_width);
  }
  if (moe.latent > 0) {
    s.latent_in = scratch.take(moe.latent);
    s.latent_out = scratch.take(moe.latent);
  }
  s.moe = scratch.take_bytes(ops::moe_scratch_bytes(sizes_of(spec, moe), moe.chosen, rows));
  s.bytes = scratch.bytes();
  return s;
}

uint64_t scratch_bytes(const gpu::Caps&, const ModelSpec& spec, const LayerSpec& layer, uint32_t rows) {
  return lay_out({}, spec, layer.moe, rows).bytes;
}

uint32_t widest_input(const LayerSpec& layer) { return std::max(layer.moe.shared_width, layer.moe.latent); }

// In fp32 whatever the precision: a rounded logit may choose another expert.
Status record_routes(const Forward& f, const MoeSpec& moe, const BlockWeights& weights, const ops::Activations& normed,
                     const ExpertScratch& s, const gpu::BufferRange& uses) {
  LAHAR_TRY(record_linear(f.recorder, weights.linears[arch::kRouter], normed, s.logits, f.step, ops::Precision::kF32,
                          "router", {.softcap = moe.softcap, .x_scratch = f.scratch.converted, .tuning = f.tuning}));
  return ops::moe_route(f.recorder, {.logits = s.logits,
                                     .experts = moe.experts,
                                     .chosen = moe.chosen,
                                     .score = moe.score,
                                     .selection_bias = weights.vectors[arch::kSelectionBias],
                                     .groups = moe.groups,
                                     .groups_chosen = moe.groups_chosen,
                                     .group_score = moe.group_score,
                                     .normalize = moe.normalize,
                                     .scale = moe.scale,
                                     .expert_scale = weights.vectors[arch::kExpertScale],
                                     .routes = s.routes,
                                     .uses = uses,
                                     .step = f.step,
                                     .label = "routes"});
}

// y = residual + scale * shared(x); no residual: y = shared(x).
Status record_shared(const Forward& f, const MoeSpec& moe, const BlockWeights& weights, const ops::Activations& normed,
                     const ExpertScratch& s, const ops::Activations& y, const ops::Activations& residual, float scale) {
  const FfnSpec spec{.width = moe.shared_width, .gated = moe.gated, .activation = moe.activation};
  LAHAR_TRY(record_ffn_up(f, spec, weights.linears[arch::kSharedUp], normed, s.shared_wide, s.shared_mid, nullptr));
  if (moe.shared_gate)
    LAHAR_TRY(ops::moe_shared_gate(f.recorder, {.x = normed,
                                                .gate = weights.vectors[arch::kSharedGate],
                                                .hidden = f.spec.hidden,
                                                .h = s.shared_mid,
                                                .width = moe.shared_width,
                                                .step = f.step,
                                                .label = "shared expert's gate"}));
  return record_linear(
      f.recorder, weights.linears[arch::kSharedDown], s.shared_mid, y, f.step, f.precision, "shared expert's down",
      {.residual = residual, .residual_scale = scale, .x_scratch = f.scratch.converted, .tuning = f.tuning});
}

Status record(const Forward& f, const LayerSpec& layer, const LayerWeights& weights, const ops::Activations& normed,
              const LayerMemory& memory) {
  const MoeSpec& moe = layer.moe;
  const BlockWeights& block = weights.ffn;
  const ExpertScratch s = lay_out(f.scratch.block, f.spec, moe, f.step.bucket);
  // A post norm needs the sum of all experts by itself.
  const bool post = layer.post_ffn_norm;
  const ops::Activations& y = post ? f.scratch.other : f.scratch.x;
  if (normed.range.address() == y.range.address())
    return Error{ErrorCode::kUnsupported, "experts without a norm before or after them are not supported"};
  ops::Activations residual = post ? ops::Activations{} : f.scratch.x;
  const float scale = post ? 1 : layer.residual_multiplier;

  ops::ExpertsRef experts = block.experts;
  if (memory.experts.table) experts.table = memory.experts.table, experts.slabs = memory.experts.slabs;

  const ops::Activations& routed = f.scratch.router_input.range ? f.scratch.router_input : normed;
  LAHAR_TRY(record_routes(f, moe, block, routed, s, memory.experts.uses));
  if (moe.shared_width > 0) {
    LAHAR_TRY(record_shared(f, moe, block, normed, s, y, residual, scale));
    residual = y;
  }
  const bool latent = moe.latent > 0;
  const LinearEpilogue plain{.x_scratch = f.scratch.converted, .tuning = f.tuning};
  if (latent)
    LAHAR_TRY(record_linear(f.recorder, block.linears[arch::kLatentIn], normed, s.latent_in, f.step, f.precision,
                            "latent in", plain));
  LAHAR_TRY(ops::moe(f.recorder, {.experts = &experts,
                                  .routes = s.routes,
                                  .chosen = moe.chosen,
                                  .x = latent ? s.latent_in : normed,
                                  .y = latent ? s.latent_out : y,
                                  .residual = latent ? ops::Activations{} : residual,
                                  .residual_scale = latent ? 1 : scale,
                                  .activation = moe.activation,
                                  .clamp = moe.clamp,
                                  .alpha = moe.alpha,
                                  .weighted_input = moe.weighted_input,
                                  .scratch = s.moe,
                                  .step = f.step,
                                  .precision = f.precision,
                                  .tuning = f.tuning,
                                  .label = "experts"}));
  if (latent) {
    LinearEpilogue added = plain;
    added.residual = residual, added.residual_scale = scale;
    LAHAR_TRY(record_linear(f.recorder, block.linears[arch::kLatentOut], s.latent_out, y, f.step, f.precision, "latent out",
                            added));
  }
  if (!post) return {};
  return record_added_norm(f, weights.post_ffn, y, layer.residual_multiplier, 1);
}

}  // namespace

const BlockKind kExpertsBlock{
    .scratch_bytes = scratch_bytes, .widest_input = widest_input, .state_bytes = nullptr, .record = record};

}  // namespace lahar
