#include "blocks/rg_lru.h"

#include "blocks/block_scratch.h"
#include "blocks/linear.h"
#include "ops/causal_conv.h"
#include "ops/rg_lru.h"

namespace lahar {
namespace {

struct Layout {
  ops::Activations projected, x;
  ops::Planes gates;
  Layout(BlockScratch& scratch, const RgLruSpec& r)
      : projected(scratch.take(2 * r.width)), x(scratch.take(r.width)), gates(scratch.take_planes(2, r.width)) {}
};

uint64_t scratch_bytes(const gpu::Caps&, const ModelSpec&, const LayerSpec& layer, uint32_t rows) {
  BlockScratch scratch({}, rows);
  Layout(scratch, layer.rg_lru);
  return scratch.bytes();
}

uint32_t widest_input(const LayerSpec& layer) { return layer.rg_lru.width; }

// The convolution's inputs, then the recurrent unit's state.
uint64_t state_bytes(const ModelSpec&, const LayerSpec& layer) {
  const RgLruSpec& r = layer.rg_lru;
  return ops::causal_conv_state_bytes(r.width, r.conv) + ops::rg_lru_state_bytes(r.width);
}

Status record_gate(const Forward& f, const RgLruSpec& r, const Linear& weight, const ops::Activations& x,
                   const ops::Activations& y, std::string_view label) {
  const uint32_t block = r.width / r.heads;
  return record_head_product(f.recorder, weight, f.step,
                             {.x = x,
                              .y = y,
                              .heads = r.heads,
                              .head_rows = block,
                              .x_head = block,
                              .y_head = block,
                              .transposed = true,
                              .label = label});
}

Status record(const Forward& f, const LayerSpec& layer, const LayerWeights& weights, const ops::Activations& normed,
              const LayerMemory& memory) {
  const RgLruSpec& r = layer.rg_lru;
  const BlockWeights& w = weights.mixer;
  BlockScratch scratch(f.scratch.block, f.step.bucket);
  const Layout s(scratch, r);
  LAHAR_TRY(record_linear(f.recorder, w.linears[kRgLruIn], normed, s.projected, f.step, f.precision, "recurrent in",
                          {.x_scratch = f.scratch.converted, .tuning = f.tuning}));
  LAHAR_TRY(ops::causal_conv(f.recorder, {.x = columns_from(s.projected, r.width),
                                          .y = s.x,
                                          .channels = r.width,
                                          .taps = r.conv,
                                          .weight = w.vectors[kRgLruTaps],
                                          .bias = w.vectors[kRgLruTapsBias],
                                          .state = memory.mixer_state,
                                          .step = f.step,
                                          .label = "conv"}));
  LAHAR_TRY(record_gate(f, r, w.linears[kRgLruInputGate], s.x, s.gates[0], "input gate"));
  LAHAR_TRY(record_gate(f, r, w.linears[kRgLruRecurrentGate], s.x, s.gates[1], "recurrent gate"));
  LAHAR_TRY(ops::rg_lru(f.recorder, {.x = s.x,
                                     .y_gate = s.projected,
                                     .input_gate = s.gates[0],
                                     .recurrent_gate = s.gates[1],
                                     .y = s.x,
                                     .input_bias = w.vectors[kRgLruInputBias],
                                     .recurrent_bias = w.vectors[kRgLruRecurrentBias],
                                     .decay = w.vectors[kRgLruDecay],
                                     .activation = r.activation,
                                     .width = r.width,
                                     .state = memory.mixer_state,
                                     .state_offset = ops::causal_conv_state_bytes(r.width, r.conv),
                                     .step = f.step,
                                     .label = "rg-lru"}));
  return record_output(f, w.linears[kRgLruOut], s.x, layer.post_attention_norm ? &weights.post_attention : nullptr,
                       layer.residual_multiplier, nullptr, "recurrent out");
}

}  // namespace

const BlockKind kRgLruBlock{scratch_bytes, widest_input, state_bytes, record};

}  // namespace lahar
