#include "blocks/short_conv.h"

#include "blocks/block_scratch.h"
#include "blocks/linear.h"
#include "ops/causal_conv.h"

namespace lahar {
namespace {

struct Layout {
  ops::Activations projected, mid;
  Layout(BlockScratch& scratch, const ModelSpec& spec)
      : projected(scratch.take(3 * spec.hidden)), mid(scratch.take(spec.hidden)) {}
};

uint64_t scratch_bytes(const gpu::Caps&, const ModelSpec& spec, const LayerSpec&, uint32_t rows) {
  BlockScratch scratch({}, rows);
  Layout(scratch, spec);
  return scratch.bytes();
}

uint64_t state_bytes(const ModelSpec& spec, const LayerSpec& layer) {
  return ops::causal_conv_state_bytes(spec.hidden, layer.short_conv.conv);
}

Status record(const Forward& f, const LayerSpec& layer, const LayerWeights& weights, const ops::Activations& normed,
              const LayerMemory& memory) {
  const BlockWeights& w = weights.mixer;
  BlockScratch scratch(f.scratch.block, f.step.bucket);
  const Layout s(scratch, f.spec);
  const uint32_t hidden = f.spec.hidden;
  LAHAR_TRY(record_linear(f.recorder, w.linears[kShortConvIn], normed, s.projected, f.step, f.precision, "conv in",
                          {.x_scratch = f.scratch.converted, .tuning = f.tuning}));
  LAHAR_TRY(ops::causal_conv(f.recorder, {.x = columns_from(s.projected, 2 * hidden),
                                          .x_gate = s.projected,
                                          .y = s.mid,
                                          .y_gate = columns_from(s.projected, hidden),
                                          .channels = hidden,
                                          .taps = layer.short_conv.conv,
                                          .weight = w.vectors[kShortConvTaps],
                                          .bias = w.vectors[kShortConvBias],
                                          .state = memory.mixer_state,
                                          .step = f.step,
                                          .label = "conv"}));
  return record_output(f, w.linears[kShortConvOut], s.mid, layer.post_attention_norm ? &weights.post_attention : nullptr,
                       layer.residual_multiplier, nullptr, "conv out");
}

}  // namespace

const BlockKind kShortConvBlock{scratch_bytes, nullptr, state_bytes, record};

}  // namespace lahar
