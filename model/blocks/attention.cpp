#include "blocks/attention.h"

#include "blocks/linear.h"
#include "ops/gate.h"

namespace lahar {
namespace {

// All but the cache and the step.
ops::RopeKvParams rope_of(const ModelSpec& model, const ModelWeights& model_weights, const Scratch& s,
                          const LayerSpec& layer, const LayerWeights& weights) {
  const AttentionSpec& spec = layer.attention;
  const uint32_t q_width = spec.heads * spec.head_dim;
  const uint32_t kv_width = spec.kv_heads * spec.head_dim;
  ops::RopeKvParams rope{.qkv = s.wide,
                         .q_offset = 0,
                         .k_offset = q_width,
                         .v_offset = q_width + (spec.keys_as_values ? 0 : kv_width),
                         .q = s.q,
                         .heads = spec.heads,
                         .query_alone = spec.kv_source >= 0,
                         .clamp = spec.clamp,
                         .clamp_normed = spec.clamp_normed,
                         .pairing = ops::RopePairing::kNone,
                         .qk_norm = spec.qk_norm,
                         .qk_norm_kind = spec.qk_norm_kind,
                         .qk_norm_bias = spec.qk_norm_bias,
                         .qk_norm_after_rope = spec.qk_norm_after_rope,
                         .value_norm = spec.value_norm,
                         .q_norm = weights.q_norm,
                         .k_norm = weights.k_norm,
                         .qk_norm_eps = model.qk_norm_eps,
                         .temperature = spec.temperature,
                         .temperature_floor = spec.temperature_floor,
                         .label = "rope"};
  if (spec.rope >= 0) {
    const RopeSpec& table = model.ropes[static_cast<size_t>(spec.rope)];
    rope.pairing = table.pairing;
    rope.rope_dims = table.dims;
    rope.inverse_frequencies = model_weights.ropes[static_cast<size_t>(spec.rope)];
    rope.magnitude = table.magnitude;
  }
  return rope;
}

// The same.
ops::AttentionParams attention_of(const Scratch& s, const AttentionSpec& spec, const LayerWeights& weights) {
  return {.q = s.q,
          .out = s.mid,
          .heads = spec.heads,
          .scale = spec.scale,
          .softcap = spec.softcap,
          .window = spec.window,
          .chunk = spec.chunk,
          .sinks = weights.sinks,
          .alibi = spec.alibi,
          .alibi_scaled = spec.alibi_scaled,
          .scratch = s.attention,
          .label = "attention"};
}

}  // namespace

bool WholeAttention::make(const ModelSpec& model, const ModelWeights& model_weights, const Scratch& s,
                          const LayerSpec& layer, const LayerWeights& weights) {
  const quant::Matrix *qkv = plain_matrix(weights.qkv), *out = plain_matrix(weights.attention_output);
  if (layer.mixer != Mixer::kAttention || layer.attention.output_gate || layer.post_attention_norm || layer.parallel ||
      qkv == nullptr || out == nullptr || weights.attention_output.bias)
    return false;
  rope = rope_of(model, model_weights, s, layer, weights);
  params = {.qkv = qkv,
            .out = out,
            .bias = weights.qkv.bias,
            .x = layer.pre_attention_norm ? s.normed : s.x,
            .y = s.x,
            .residual_scale = layer.residual_multiplier,
            .attention = attention_of(s, layer.attention, weights),
            .parts = s.attention,
            .counter = s.counter};
  params.attention.rope = &rope;
  return true;
}

Status record_attention(const Forward& f, const LayerSpec& layer, const LayerWeights& weights,
                        const ops::Activations& normed, const ops::KvRef& kv, const BlockNorms& norms,
                        const gpu::BufferRange& whole_block) {
  const AttentionSpec& spec = layer.attention;
  const Scratch& s = f.scratch;
  const auto complete = [&](ops::RopeKvParams& rope, ops::AttentionParams& attention) {
    rope.kv = attention.kv = kv, rope.step = attention.step = f.step;
    attention.max_context = f.max_context, attention.precision = f.precision, attention.tuning = f.tuning;
    attention.rope = &rope;
  };
  WholeAttention whole;
  if (whole_block && whole.make(f.spec, f.weights, s, layer, weights)) {
    complete(whole.rope, whole.params.attention);
    whole.params.x_norm = norms.before, whole.params.y_norm = norms.after, whole.params.block = whole_block;
    if (ops::can_attention_block(f.recorder.device().caps(), whole.params))
      return ops::attention_block(f.recorder, whole.params);
  }
  LAHAR_TRY(record_linear(f.recorder, weights.qkv, normed, s.wide, f.step, f.precision, "qkv",
                          {.x_norm = norms.before, .x_scratch = s.converted, .tuning = f.tuning}));

  ops::RopeKvParams rope = rope_of(f.spec, f.weights, s, layer, weights);
  ops::AttentionParams attention = attention_of(s, spec, weights);
  complete(rope, attention);
  LAHAR_TRY(ops::attention(f.recorder, attention));
  if (spec.output_gate)
    LAHAR_TRY(ops::gate(f.recorder, {.a = s.mid,
                                     .gate = columns_from(s.wide, (spec.heads + 2 * spec.kv_heads) * spec.head_dim),
                                     .y = s.mid,
                                     .width = spec.heads * spec.head_dim,
                                     .step = f.step,
                                     .label = "output gate"}));
  return record_output(f, weights.attention_output, s.mid, layer.post_attention_norm ? &weights.post_attention : nullptr,
                       layer.residual_multiplier, norms.after, "attention output");
}

}  // namespace lahar
