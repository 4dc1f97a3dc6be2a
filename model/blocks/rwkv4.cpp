#include "blocks/rwkv4.h"

#include <array>

#include "blocks/block_scratch.h"
#include "blocks/linear.h"
#include "blocks/rwkv_ffn.h"
#include "ops/gate.h"
#include "ops/rwkv.h"

namespace lahar {
namespace {

struct Layout {
  ops::Planes mixed, projected;
  ops::Activations mid;
  Layout(BlockScratch& scratch, const ModelSpec& spec, const RwkvSpec& r)
      : mixed(scratch.take_planes(3, spec.hidden)), projected(scratch.take_planes(3, r.inner)), mid(scratch.take(r.inner)) {}
};

uint64_t scratch_bytes(const gpu::Caps&, const ModelSpec& spec, const LayerSpec& layer, uint32_t rows) {
  BlockScratch scratch({}, rows);
  Layout(scratch, spec, layer.rwkv);
  return scratch.bytes();
}

uint32_t widest_input(const LayerSpec& layer) { return layer.rwkv.inner; }

uint64_t state_bytes(const ModelSpec& spec, const LayerSpec& layer) {
  return ops::token_shift_state_bytes(spec.hidden) + ops::wkv4_state_bytes(layer.rwkv.inner);
}

Status record(const Forward& f, const LayerSpec& layer, const LayerWeights& weights, const ops::Activations& normed,
              const LayerMemory& memory) {
  const RwkvSpec& r = layer.rwkv;
  const BlockWeights& w = weights.mixer;
  BlockScratch scratch(f.scratch.block, f.step.bucket);
  const Layout s(scratch, f.spec, r);
  LAHAR_TRY(ops::token_shift(f.recorder, {.x = normed,
                                          .y = s.mixed,
                                          .mixes = std::span(w.vectors).subspan(kRwkv4Mixes, 3),
                                          .width = f.spec.hidden,
                                          .state = memory.mixer_state,
                                          .step = f.step,
                                          .label = "token shift"}));
  constexpr std::array<std::string_view, 3> kLabels{"k", "v", "r"};
  for (uint32_t i = 0; i < 3; ++i)
    LAHAR_TRY(record_rwkv_product(f, w.linears[kRwkv4K + i], s.mixed[i], s.projected[i], kLabels[i]));
  LAHAR_TRY(ops::wkv4(f.recorder, {.k = s.projected[0],
                                   .v = s.projected[1],
                                   .r = s.projected[2],
                                   .y = s.mid,
                                   .decay = w.vectors[kRwkv4Decay],
                                   .first = w.vectors[kRwkv4First],
                                   .width = r.inner,
                                   .state = memory.mixer_state,
                                   .state_offset = ops::token_shift_state_bytes(f.spec.hidden),
                                   .step = f.step,
                                   .label = "wkv"}));
  return record_output(f, w.linears[kRwkv4Output], s.mid, layer.post_attention_norm ? &weights.post_attention : nullptr,
                       layer.residual_multiplier, nullptr, "attention output");
}

struct FfnLayout {
  ops::Planes mixed;
  ops::Activations up, down, gate;
  FfnLayout(BlockScratch& scratch, const ModelSpec& spec, const RwkvSpec& r)
      : mixed(scratch.take_planes(2, spec.hidden)),
        up(scratch.take(r.width)),
        down(scratch.take(spec.hidden)),
        gate(scratch.take(spec.hidden)) {}
};

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
  LAHAR_TRY(record_rwkv_up(f, layer, std::span(w.vectors).subspan(kRwkv4FfnMixes, 2), w.linears[kRwkv4FfnK], normed, memory,
                           s.mixed, s.up));
  LAHAR_TRY(record_rwkv_product(f, w.linears[kRwkv4FfnR], s.mixed[1], s.gate, "ffn r"));
  LAHAR_TRY(record_rwkv_product(f, w.linears[kRwkv4FfnV], s.up, s.down, "ffn v"));
  return ops::gate(f.recorder, {.a = s.down,
                                .gate = s.gate,
                                .y = f.scratch.x,
                                .residual = f.scratch.x,
                                .residual_scale = layer.residual_multiplier,
                                .width = f.spec.hidden,
                                .step = f.step,
                                .label = "ffn gate"});
}

}  // namespace

const BlockKind kRwkv4Block{scratch_bytes, widest_input, state_bytes, record};
const BlockKind kRwkv4FfnBlock{ffn_scratch_bytes, ffn_widest_input, ffn_state_bytes, record_ffn};

}  // namespace lahar
