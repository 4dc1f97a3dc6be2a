#include "blocks/dense_ffn.h"

#include "blocks/linear.h"
#include "ops/activation.h"
#include "ops/altup.h"
#include "ops/gated_ffn.h"

namespace lahar {

Status record_ffn_up(const Forward& f, const FfnSpec& spec, const Linear& up, const ops::Activations& normed,
                     const ops::Activations& wide, const ops::Activations& mid, const ops::NormFold* before) {
  const Scratch& s = f.scratch;
  if (spec.gated && !spec.sparse && up.parts.size() == 1) {
    return ops::matmul(f.recorder, {.w = &up.parts[0].matrix,
                                    .x = normed,
                                    .y = mid,
                                    .bias = up.bias,
                                    .scale = up.parts[0].scale,
                                    .glu = spec.activation,
                                    .x_norm = before,
                                    .glu_scratch = wide,
                                    .step = f.step,
                                    .precision = f.precision,
                                    .x_scratch = s.converted,
                                    .tuning = f.tuning,
                                    .label = "gate and up"});
  }
  LAHAR_TRY(record_linear(f.recorder, up, normed, wide, f.step, f.precision, spec.gated ? "gate and up" : "up",
                          {.x_norm = before, .x_scratch = s.converted, .tuning = f.tuning}));
  if (spec.sparse)
    LAHAR_TRY(
        ops::cut_below(f.recorder, wide, spec.width, spec.deviations, spec.width - (spec.sample_deviation ? 1 : 0), f.step));
  return ops::activation(f.recorder, {.kind = spec.activation,
                                      .gated = spec.gated,
                                      .x = wide,
                                      .y = mid,
                                      .width = spec.width,
                                      .step = f.step,
                                      .label = "activation"});
}

Status record_dense_ffn(const Forward& f, const LayerSpec& layer, const LayerWeights& weights,
                        const ops::Activations& normed, const BlockNorms& norms) {
  const quant::Matrix *up = plain_matrix(weights.up), *down = plain_matrix(weights.down);
  const bool plain = layer.ffn.gated && !layer.ffn.sparse && !layer.post_ffn_norm && !weights.up.bias && !weights.down.bias;
  if (plain && up != nullptr && down != nullptr) {
    const ops::GatedFfnParams whole{.gate_up = up,
                                    .down = down,
                                    .activation = layer.ffn.activation,
                                    .residual_scale = layer.residual_multiplier,
                                    .x = normed,
                                    .y = f.scratch.x,
                                    .x_norm = norms.before,
                                    .y_norm = norms.after,
                                    .mid = f.scratch.mid,
                                    .parts = f.scratch.wide.range,
                                    .counter = f.scratch.counter,
                                    .step = f.step,
                                    .tuning = f.tuning,
                                    .label = "ffn"};
    if (ops::can_gated_ffn(f.recorder.device().caps(), whole)) return ops::gated_ffn(f.recorder, whole);
  }
  LAHAR_TRY(record_ffn_up(f, layer.ffn, weights.up, normed, f.scratch.wide, f.scratch.mid, norms.before));
  return record_output(f, weights.down, f.scratch.mid, layer.post_ffn_norm ? &weights.post_ffn : nullptr,
                       layer.residual_multiplier, norms.after, "down", ffn_end_scale(f.spec, layer));
}

}  // namespace lahar
