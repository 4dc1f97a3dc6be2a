#include "blocks/mamba2.h"

#include "blocks/attention.h"
#include "blocks/block_scratch.h"
#include "blocks/linear.h"
#include "ops/causal_conv.h"
#include "ops/ssm_gate.h"
#include "ops/ssm_scan.h"

namespace lahar {
namespace {

using namespace mamba2;

uint32_t projected(const SsmSpec& s) { return s.inner + s.conv_channels() + s.heads; }

struct Layout {
  ops::Activations in, conv, y;
  gpu::BufferRange scan;
  Layout(BlockScratch& scratch, const gpu::Caps& caps, const SsmSpec& s, uint32_t rows)
      : in(scratch.take(projected(s))),
        conv(scratch.take(s.conv_channels())),
        y(scratch.take(s.inner)),
        scan(scratch.take_bytes(ops::ssm_scan_scratch_bytes(caps, rows, s.heads, s.head_dim(), s.state))) {}
};

uint64_t scratch_bytes(const gpu::Caps& caps, const ModelSpec&, const LayerSpec& layer, uint32_t rows) {
  BlockScratch scratch({}, rows);
  Layout(scratch, caps, layer.ssm, rows);
  return scratch.bytes();
}

uint32_t widest_input(const LayerSpec& layer) { return layer.ssm.inner; }

// The convolution's inputs, then the scan's state.
uint64_t state_bytes(const ModelSpec&, const LayerSpec& layer) {
  const SsmSpec& s = layer.ssm;
  return ops::causal_conv_state_bytes(s.conv_channels(), s.conv) + ops::ssm_state_bytes(s.heads, s.head_dim(), s.state);
}

Status record(const Forward& f, const LayerSpec& layer, const LayerWeights& weights, const ops::Activations& normed,
              const LayerMemory& memory) {
  const SsmSpec& s = layer.ssm;
  const BlockWeights& w = weights.mixer;
  const uint32_t bc = s.groups * s.state;
  BlockScratch scratch(f.scratch.block, f.step.bucket);
  const auto [in, conv, y, scan] = Layout(scratch, f.recorder.device().caps(), s, f.step.bucket);

  LAHAR_TRY(record_linear(f.recorder, w.linears[kIn], normed, in, f.step, f.precision, "mamba in",
                          {.scale = s.in_scale, .x_scratch = f.scratch.converted, .tuning = f.tuning}));
  LAHAR_TRY(ops::causal_conv(f.recorder, {.x = columns_from(in, s.inner),
                                          .x_gate = {},
                                          .y = conv,
                                          .y_gate = {},
                                          .channels = s.conv_channels(),
                                          .taps = s.conv,
                                          .weight = w.vectors[kConv],
                                          .bias = w.vectors[kConvBias],
                                          .activation = ops::Activation::kSilu,
                                          .state = memory.mixer_state,
                                          .step = f.step,
                                          .label = "mamba convolution"}));
  LAHAR_TRY(ops::ssm_scan(f.recorder, {.x = {conv, 0},
                                       .b = {conv, s.inner},
                                       .c = {conv, s.inner + bc},
                                       .dt = {in, 2 * s.inner + 2 * bc},
                                       .y = y,
                                       .heads = s.heads,
                                       .head_dim = s.head_dim(),
                                       .groups = s.groups,
                                       .state = s.state,
                                       .a = w.vectors[kA],
                                       .d = w.vectors[kD],
                                       .dt_bias = w.vectors[kDtBias],
                                       .dt_min = s.dt_min,
                                       .dt_max = s.dt_max,
                                       .dt_scale = s.dt_scale,
                                       .slots = memory.mixer_state,
                                       .state_offset = ops::causal_conv_state_bytes(s.conv_channels(), s.conv),
                                       .scratch = scan,
                                       .step = f.step,
                                       .label = "mamba scan"}));
  LAHAR_TRY(ops::ssm_gate(f.recorder, {.order = s.gate,
                                       .x = y,
                                       .gate = in,
                                       .y = y,
                                       .groups = s.norm_groups,
                                       .width = s.inner / s.norm_groups,
                                       .weight = w.vectors[kNorm],
                                       .eps = s.norm_eps,
                                       .gate_scale = s.gate_scale,
                                       .step = f.step,
                                       .label = "mamba gate"}));
  return record_output(f, w.linears[kOut], y, layer.post_attention_norm ? &weights.post_attention : nullptr,
                       layer.residual_multiplier * s.out_scale, nullptr, "mamba out");
}

Status record_both(const Forward& f, const LayerSpec& layer, const LayerWeights& weights, const ops::Activations& normed,
                   const LayerMemory& memory) {
  LayerSpec attention = layer;
  attention.residual_multiplier *= layer.attention.output_scale;
  LAHAR_TRY(record_attention(f, attention, weights, normed, memory.kv, {}));
  return record(f, layer, weights, normed, memory);
}

}  // namespace

const BlockKind kMamba2Block{scratch_bytes, widest_input, state_bytes, record};
const BlockKind kAttentionMamba2Block{scratch_bytes, widest_input, state_bytes, record_both};

}  // namespace lahar
