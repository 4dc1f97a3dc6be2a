#include "blocks/dense_and_experts.h"

#include "arch/experts.h"
#include "blocks/block_scratch.h"
#include "blocks/dense_ffn.h"
#include "blocks/linear.h"
#include "blocks/moe_ffn.h"

namespace lahar {
namespace {

// What the block needs besides the layer's common activations; `rest` is the experts'.
struct Pieces {
  ops::Activations sum, router_input;  // [rows, hidden]
  uint64_t bytes;
  gpu::BufferRange rest;

  Pieces(const gpu::BufferRange& memory, const ModelSpec& spec, uint32_t rows) {
    BlockScratch scratch(memory, rows);
    sum = scratch.take(spec.hidden);
    router_input = scratch.take(spec.hidden);
    bytes = scratch.bytes();
    if (memory) rest = memory.part(bytes, memory.size - bytes);
  }
};

uint64_t scratch_bytes(const gpu::Caps& caps, const ModelSpec& spec, const LayerSpec& layer, uint32_t rows) {
  return Pieces({}, spec, rows).bytes + kExpertsBlock.scratch_bytes(caps, spec, layer, rows);
}

uint32_t widest_input(const LayerSpec& layer) { return kExpertsBlock.widest_input(layer); }

Status record(const Forward& f, const LayerSpec& layer, const LayerWeights& weights, const ops::Activations& normed,
              const LayerMemory& memory) {
  const Scratch& s = f.scratch;
  const Pieces pieces(s.block, f.spec, f.step.bucket);
  const auto& norms = weights.ffn.vectors;
  LAHAR_TRY(record_ffn_up(f, layer.ffn, weights.up, normed, s.wide, s.mid, nullptr));
  LAHAR_TRY(record_linear(f.recorder, weights.down, s.mid, s.other, f.step, f.precision, "down",
                          {.x_scratch = s.converted, .tuning = f.tuning}));
  LAHAR_TRY(record_norm(f, {norms[arch::kDensePostNorm], {}}, s.other, pieces.sum, "post norm of the dense block"));
  LAHAR_TRY(record_norm(f, {norms[arch::kRouterNorm], {}}, s.x, pieces.router_input, "router's norm"));
  LAHAR_TRY(record_norm(f, {norms[arch::kExpertsNorm], {}}, s.x, s.normed, "experts' norm"));

  // To the experts, the sum is the residual stream.
  Scratch scratch = s;
  scratch.x = pieces.sum;
  scratch.router_input = pieces.router_input;
  scratch.block = pieces.rest;
  const Forward inner{.recorder = f.recorder,
                      .spec = f.spec,
                      .weights = f.weights,
                      .scratch = scratch,
                      .step = f.step,
                      .precision = f.precision,
                      .max_context = f.max_context,
                      .tuning = f.tuning,
                      .logit_rows = f.logit_rows,
                      .all_logits = f.all_logits};
  LayerSpec experts = layer;
  experts.residual_multiplier = 1;
  LayerWeights expert_weights;
  expert_weights.ffn = weights.ffn;
  expert_weights.post_ffn.weight = norms[arch::kExpertsPostNorm];
  LAHAR_TRY(kExpertsBlock.record(inner, experts, expert_weights, s.normed, memory));
  return record_added_norm(f, weights.post_ffn, pieces.sum, layer.residual_multiplier, ffn_end_scale(f.spec, layer));
}

}  // namespace

const BlockKind kDenseAndExpertsBlock{
    .scratch_bytes = scratch_bytes, .widest_input = widest_input, .state_bytes = nullptr, .record = record};

}  // namespace lahar
