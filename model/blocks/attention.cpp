#include "blocks/attention.h"

#include "blocks/linear.h"
#include "ops/attention.h"
#include "ops/gate.h"
#include "ops/rope.h"

namespace lahar {

Status record_attention(const Forward& f, const LayerSpec& layer, const LayerWeights& weights,
                        const ops::Activations& normed, const ops::KvRef& kv, const BlockNorms& norms) {
  const AttentionSpec& spec = layer.attention;
  const Scratch& s = f.scratch;
  LAHAR_TRY(record_linear(f.recorder, weights.qkv, normed, s.wide, f.step, f.precision, "qkv",
                          {.x_norm = norms.before, .x_scratch = s.converted, .tuning = f.tuning}));

  const uint32_t q_width = spec.heads * spec.head_dim;
  const uint32_t kv_width = spec.kv_heads * spec.head_dim;
  ops::RopeKvParams rope{.qkv = s.wide,
                         .q_offset = 0,
                         .k_offset = q_width,
                         .v_offset = q_width + (spec.keys_as_values ? 0 : kv_width),
                         .q = s.q,
                         .heads = spec.heads,
                         .kv = kv,
                         .query_alone = spec.kv_source >= 0,
                         .clamp = spec.clamp,
                         .pairing = ops::RopePairing::kNone,
                         .qk_norm = spec.qk_norm,
                         .qk_norm_kind = spec.qk_norm_kind,
                         .qk_norm_bias = spec.qk_norm_bias,
                         .qk_norm_after_rope = spec.qk_norm_after_rope,
                         .value_norm = spec.value_norm,
                         .q_norm = weights.q_norm,
                         .k_norm = weights.k_norm,
                         .qk_norm_eps = f.spec.qk_norm_eps,
                         .temperature = spec.temperature,
                         .temperature_floor = spec.temperature_floor,
                         .step = f.step,
                         .label = "rope"};
  if (spec.rope >= 0) {
    const RopeSpec& table = f.spec.ropes[static_cast<size_t>(spec.rope)];
    rope.pairing = table.pairing;
    rope.rope_dims = table.dims;
    rope.inverse_frequencies = f.weights.ropes[static_cast<size_t>(spec.rope)];
    rope.magnitude = table.magnitude;
  }
  LAHAR_TRY(ops::rope_kv(f.recorder, rope));
  LAHAR_TRY(ops::attention(f.recorder, {.q = s.q,
                                        .out = s.mid,
                                        .heads = spec.heads,
                                        .kv = kv,
                                        .scale = spec.scale,
                                        .softcap = spec.softcap,
                                        .window = spec.window,
                                        .chunk = spec.chunk,
                                        .sinks = weights.sinks,
                                        .alibi = spec.alibi,
                                        .scratch = s.attention,
                                        .max_context = f.max_context,
                                        .step = f.step,
                                        .precision = f.precision,
                                        .tuning = f.tuning,
                                        .label = "attention"}));
  if (spec.output_gate)
    LAHAR_TRY(ops::gate(f.recorder, {.a = s.mid,
                                     .gate = columns_from(s.wide, q_width + 2 * kv_width),
                                     .y = s.mid,
                                     .width = q_width,
                                     .step = f.step,
                                     .label = "output gate"}));
  return record_output(f, weights.attention_output, s.mid, layer.post_attention_norm ? &weights.post_attention : nullptr,
                       layer.residual_multiplier, norms.after, "attention output");
}

}  // namespace lahar
