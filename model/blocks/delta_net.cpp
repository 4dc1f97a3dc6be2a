#include "blocks/delta_net.h"

#include "blocks/block_scratch.h"
#include "blocks/linear.h"
#include "ops/causal_conv.h"
#include "ops/delta_net.h"
#include "ops/ssm_gate.h"

namespace lahar {
namespace {

uint32_t key_width(const DeltaNetSpec& d) { return d.key_heads * d.key_dim; }
uint32_t value_width(const DeltaNetSpec& d) { return d.value_heads * d.value_dim; }
uint32_t conv_width(const DeltaNetSpec& d) { return 2 * key_width(d) + value_width(d); }

struct Layout {
  ops::Activations projected, mixed, mid, alpha;
  gpu::BufferRange chunks;
  Layout(BlockScratch& scratch, const gpu::Caps& caps, const DeltaNetSpec& d, uint32_t rows)
      : projected(scratch.take(conv_width(d) + value_width(d) + 2 * d.value_heads)),
        mixed(scratch.take(conv_width(d))),
        mid(scratch.take(value_width(d))),
        alpha(scratch.take(d.value_heads)),
        chunks(scratch.take_bytes(ops::delta_net_prefers_chunks(caps, d.key_dim, d.value_dim)
                                      ? ops::delta_net_scratch_bytes(caps, rows, d.value_heads)
                                      : 0)) {}
};

uint64_t scratch_bytes(const gpu::Caps& caps, const ModelSpec&, const LayerSpec& layer, uint32_t rows) {
  BlockScratch scratch({}, rows);
  Layout(scratch, caps, layer.delta_net, rows);
  return scratch.bytes();
}

uint32_t widest_input(const LayerSpec& layer) { return value_width(layer.delta_net); }

uint64_t conv_state_bytes(const DeltaNetSpec& d) { return ops::causal_conv_state_bytes(conv_width(d), d.conv); }

uint64_t state_bytes(const ModelSpec&, const LayerSpec& layer) {
  const DeltaNetSpec& d = layer.delta_net;
  return conv_state_bytes(d) + ops::delta_net_state_bytes(d.value_heads, d.key_dim, d.value_dim);
}

Status record(const Forward& f, const LayerSpec& layer, const LayerWeights& weights, const ops::Activations& normed,
              const LayerMemory& memory) {
  const DeltaNetSpec& d = layer.delta_net;
  const BlockWeights& w = weights.mixer;
  BlockScratch scratch(f.scratch.block, f.step.bucket);
  const Layout s(scratch, f.recorder.device().caps(), d, f.step.bucket);
  LAHAR_TRY(record_linear(f.recorder, w.linears[kDeltaNetIn], normed, s.projected, f.step, f.precision, "delta in",
                          {.x_scratch = f.scratch.converted, .tuning = f.tuning}));
  const uint32_t gates = conv_width(d) + value_width(d);
  const bool apart = !w.linears[kDeltaNetAlpha].parts.empty();
  if (apart)
    LAHAR_TRY(record_linear(f.recorder, w.linears[kDeltaNetAlpha], normed, s.alpha, f.step, f.precision, "alpha",
                            {.x_scratch = f.scratch.converted, .tuning = f.tuning}));
  LAHAR_TRY(ops::causal_conv(f.recorder, {.x = s.projected,
                                          .y = s.mixed,
                                          .channels = conv_width(d),
                                          .taps = d.conv,
                                          .weight = w.vectors[kDeltaNetTaps],
                                          .activation = ops::Activation::kSilu,
                                          .state = memory.mixer_state,
                                          .step = f.step,
                                          .label = "conv"}));
  LAHAR_TRY(ops::delta_net(f.recorder, {.qkv = s.mixed,
                                        .beta = columns_from(s.projected, gates),
                                        .alpha = apart ? s.alpha : columns_from(s.projected, gates + d.value_heads),
                                        .y = s.mid,
                                        .key_heads = d.key_heads,
                                        .value_heads = d.value_heads,
                                        .key_dim = d.key_dim,
                                        .value_dim = d.value_dim,
                                        .tiled = d.tiled,
                                        .decay = w.vectors[kDeltaNetDecay],
                                        .bias = w.vectors[kDeltaNetBias],
                                        .state = memory.mixer_state,
                                        .state_offset = conv_state_bytes(d),
                                        .scratch = s.chunks,
                                        .step = f.step,
                                        .label = "delta net"}));
  LAHAR_TRY(ops::ssm_gate(f.recorder, {.order = ops::GateOrder::kNormFirst,
                                       .x = s.mid,
                                       .gate = columns_from(s.projected, conv_width(d)),
                                       .y = s.mid,
                                       .groups = d.value_heads,
                                       .width = d.value_dim,
                                       .weight = w.vectors[kDeltaNetNorm],
                                       .shared_weight = true,
                                       .eps = f.spec.norm.eps,
                                       .step = f.step,
                                       .label = "gated norm"}));
  return record_output(f, w.linears[kDeltaNetOut], s.mid, layer.post_attention_norm ? &weights.post_attention : nullptr,
                       layer.residual_multiplier, nullptr, "delta out");
}

}  // namespace

const BlockKind kDeltaNetBlock{scratch_bytes, widest_input, state_bytes, record};

}  // namespace lahar
