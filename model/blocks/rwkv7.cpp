#include "blocks/rwkv7.h"

#include <array>

#include "blocks/block_scratch.h"
#include "blocks/linear.h"
#include "blocks/rwkv_ffn.h"
#include "ops/activation.h"
#include "ops/rwkv.h"
#include "params_linear_attention.h"

namespace lahar {
namespace {

constexpr uint32_t kMixes = 6;  // r, w, k, v, a, g

// The first layer's v comes first, and in the scratch of both blocks of every layer: it lives as long as the step.
struct Layout {
  ops::Activations v_first;
  ops::Planes mixed, planes;
  ops::Activations v, low;
  Layout(BlockScratch& scratch, const ModelSpec& spec, const RwkvSpec& r)
      : v_first(scratch.take(spec.hidden)),
        mixed(scratch.take_planes(kMixes, spec.hidden)),
        planes(scratch.take_planes(params::kRwkv7Planes, spec.hidden)),
        v(scratch.take(spec.hidden)),
        low(scratch.take(r.most_rank)) {}
};

struct FfnLayout {
  ops::Activations v_first;
  ops::Planes mixed;
  ops::Activations up;
  FfnLayout(BlockScratch& scratch, const ModelSpec& spec, const RwkvSpec& r)
      : v_first(scratch.take(spec.hidden)), mixed(scratch.take_planes(1, spec.hidden)), up(scratch.take(r.width)) {}
};

uint64_t scratch_bytes(const gpu::Caps&, const ModelSpec& spec, const LayerSpec& layer, uint32_t rows) {
  BlockScratch scratch({}, rows);
  Layout(scratch, spec, layer.rwkv);
  return scratch.bytes();
}

uint32_t widest_input(const LayerSpec& layer) { return layer.rwkv.most_rank; }

uint64_t state_bytes(const ModelSpec& spec, const LayerSpec& layer) {
  return ops::token_shift_state_bytes(spec.hidden) + ops::rwkv7_state_bytes(layer.rwkv.heads, layer.rwkv.head_dim);
}

// y = W_up kind(W_down x); the two matrices lie one behind the other in the roles.
Status low_rank(const Forward& f, const BlockWeights& w, uint32_t down, ops::Activation kind, const ops::Activations& x,
                const ops::Activations& low, const ops::Activations& y, std::string_view label) {
  LAHAR_TRY(record_rwkv_product(f, w.linears[down], x, low, label));
  if (kind != ops::Activation::kNone)
    LAHAR_TRY(ops::activation(
        f.recorder,
        {.kind = kind, .gated = false, .x = low, .y = low, .width = w.linears[down].rows, .step = f.step, .label = label}));
  return record_rwkv_product(f, w.linears[down + 1], low, y, label);
}

// Files have the mixes as one vector each, or all in the first.
std::array<gpu::BufferRange, kMixes> mixes_of(const BlockWeights& w, uint32_t hidden) {
  std::array<gpu::BufferRange, kMixes> mixes;
  const uint64_t bytes = uint64_t{hidden} * sizeof(float);
  for (uint32_t i = 0; i < kMixes; ++i)
    mixes[i] = w.vectors[kRwkv7Mixes + 1] ? w.vectors[kRwkv7Mixes + i] : w.vectors[kRwkv7Mixes].part(i * bytes, bytes);
  return mixes;
}

Status record_projections(const Forward& f, const BlockWeights& w, bool first, const Layout& s) {
  enum : uint32_t { kR, kW, kK, kV, kA, kG };
  LAHAR_TRY(record_rwkv_product(f, w.linears[kRwkv7Receptance], s.mixed[kR], s.planes[params::kRwkv7R], "r"));
  LAHAR_TRY(record_rwkv_product(f, w.linears[kRwkv7Key], s.mixed[kK], s.planes[params::kRwkv7K], "k"));
  LAHAR_TRY(record_rwkv_product(f, w.linears[kRwkv7Value], s.mixed[kV], first ? s.v_first : s.v, "v"));
  LAHAR_TRY(low_rank(f, w, kRwkv7DecayDown, ops::Activation::kTanh, s.mixed[kW], s.low, s.planes[params::kRwkv7W], "decay"));
  LAHAR_TRY(low_rank(f, w, kRwkv7RateDown, ops::Activation::kNone, s.mixed[kA], s.low, s.planes[params::kRwkv7A], "rate"));
  LAHAR_TRY(
      low_rank(f, w, kRwkv7GateDown, ops::Activation::kSigmoid, s.mixed[kG], s.low, s.planes[params::kRwkv7G], "gate"));
  if (first) return {};
  return low_rank(f, w, kRwkv7MixDown, ops::Activation::kNone, s.mixed[kV], s.low, s.planes[params::kRwkv7VMix],
                  "value mix");
}

Status record(const Forward& f, const LayerSpec& layer, const LayerWeights& weights, const ops::Activations& normed,
              const LayerMemory& memory) {
  const BlockWeights& w = weights.mixer;
  const RwkvSpec& r = layer.rwkv;
  const bool first = !w.vectors[kRwkv7V0];
  BlockScratch scratch(f.scratch.block, f.step.bucket);
  const Layout s(scratch, f.spec, r);
  LAHAR_TRY(ops::token_shift(f.recorder, {.x = normed,
                                          .y = s.mixed,
                                          .mixes = mixes_of(w, f.spec.hidden),
                                          .width = f.spec.hidden,
                                          .state = memory.mixer_state,
                                          .step = f.step,
                                          .label = "token shift"}));
  LAHAR_TRY(record_projections(f, w, first, s));
  ops::Rwkv7Inputs in{.planes = s.planes,
                      .v = first ? s.v_first : s.v,
                      .v_first = first ? ops::Activations{} : s.v_first,
                      .heads = r.heads,
                      .head_dim = r.head_dim,
                      .w0 = w.vectors[kRwkv7W0],
                      .a0 = w.vectors[kRwkv7A0],
                      .v0 = w.vectors[kRwkv7V0],
                      .k_k = w.vectors[kRwkv7KK],
                      .k_a = w.vectors[kRwkv7KA],
                      .step = f.step,
                      .label = "wkv"};
  const ops::Activations mid = s.mixed[0];  // all its mixes have been read
  LAHAR_TRY(ops::rwkv7(
      f.recorder,
      {.in = in, .y = mid, .state = memory.mixer_state, .state_offset = ops::token_shift_state_bytes(f.spec.hidden)}));
  in.label = "wkv norm";
  LAHAR_TRY(ops::rwkv7_output(f.recorder, {.in = in,
                                           .y = mid,
                                           .r_k = w.vectors[kRwkv7RK],
                                           .norm = w.vectors[kRwkv7Norm],
                                           .norm_bias = w.vectors[kRwkv7NormBias],
                                           .eps = r.head_norm_eps}));
  return record_output(f, w.linears[kRwkv7Output], mid, layer.post_attention_norm ? &weights.post_attention : nullptr,
                       layer.residual_multiplier, nullptr, "attention output");
}

uint64_t ffn_scratch_bytes(const gpu::Caps&, const ModelSpec& spec, const LayerSpec& layer, uint32_t rows) {
  BlockScratch scratch({}, rows);
  FfnLayout(scratch, spec, layer.rwkv);
  return scratch.bytes();
}

uint32_t ffn_widest_input(const LayerSpec& layer) { return layer.rwkv.width; }

uint64_t ffn_state_bytes(const ModelSpec& spec, const LayerSpec&) { return ops::token_shift_state_bytes(spec.hidden); }

Status record_ffn(const Forward& f, const LayerSpec& layer, const LayerWeights& weights, const ops::Activations& normed,
                  const LayerMemory& memory) {
  const BlockWeights& w = weights.ffn;
  BlockScratch scratch(f.scratch.block, f.step.bucket);
  const FfnLayout s(scratch, f.spec, layer.rwkv);
  LAHAR_TRY(record_rwkv_up(f, layer, std::span(w.vectors).subspan(kRwkv7FfnMix, 1), w.linears[kRwkv7FfnK], normed, memory,
                           s.mixed, s.up));
  return record_output(f, w.linears[kRwkv7FfnV], s.up, layer.post_ffn_norm ? &weights.post_ffn : nullptr,
                       layer.residual_multiplier, nullptr, "ffn v");
}

}  // namespace

const BlockKind kRwkv7Block{scratch_bytes, widest_input, state_bytes, record};
const BlockKind kRwkv7FfnBlock{ffn_scratch_bytes, ffn_widest_input, ffn_state_bytes, record_ffn};

}  // namespace lahar
