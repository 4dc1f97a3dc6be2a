#include "blocks/altup.h"

#include <algorithm>
#include <cmath>

#include "blocks/linear.h"
#include "ops/altup.h"
#include "ops/embed.h"
#include "ops/norm.h"

namespace lahar {
namespace {

const float kHalfPower = static_cast<float>(std::sqrt(0.5));

ops::StreamsRef streams_of(const Forward& f) {
  const AltUpSpec& a = f.spec.altup;
  return {f.scratch.streams, a.streams, a.active, f.spec.hidden, f.spec.hidden};
}

ops::StreamMixer mixer_of(const Forward& f, const LayerWeights& weights, size_t coefficients) {
  const auto& v = weights.mixer.vectors;
  return {.norm = v[altup::kRouterNorm],
          .router = v[altup::kRouter],
          .coefficients = v[coefficients],
          .scale = v[altup::kCorrectScale],
          .eps = f.spec.norm.eps};
}

Status record_product(const Forward& f, const Linear& linear, const ops::Activations& x, const ops::Activations& y,
                      std::string_view label) {
  return record_linear(f.recorder, linear, x, y, f.step, f.precision, label,
                       {.x_scratch = f.scratch.converted, .tuning = f.tuning});
}

Status record_normed(const Forward& f, const gpu::BufferRange& weight, const ops::Activations& residual,
                     const ops::Activations& y, std::string_view label, float factor = 1) {
  return ops::norm(f.recorder, {.kind = ops::NormKind::kRms,
                                .x = f.scratch.other,
                                .y = y,
                                .width = f.spec.hidden,
                                .weight = weight,
                                .residual = residual,
                                .residual_scale = factor,
                                .residual_factor = factor,
                                .eps = f.spec.norm.eps,
                                .step = f.step,
                                .label = label});
}

Status record_layer_inputs(const Forward& f) {
  const uint32_t width = f.spec.layer_inputs.width;
  const auto layers = static_cast<uint32_t>(f.spec.layers.size());
  const BlockWeights& extra = f.weights.extra;
  LAHAR_TRY(ops::embed(f.recorder, {.table = &extra.linears[altup::kInputsTable].parts[0].matrix,
                                    .scale = std::sqrt(static_cast<float>(width)) * kHalfPower,
                                    .y = f.scratch.layer_inputs,
                                    .step = f.step}));
  LAHAR_TRY(record_product(f, extra.linears[altup::kInputsProjection], f.scratch.x, f.scratch.wide, "layer inputs"));
  // The projection is divided by sqrt(hidden) before its norm, where that only shows in eps.
  return ops::layer_inputs(f.recorder, {.x = f.scratch.wide,
                                        .inputs = f.scratch.layer_inputs,
                                        .layers = layers,
                                        .width = width,
                                        .weight = extra.vectors[altup::kInputsNorm],
                                        .eps = f.spec.norm.eps * static_cast<float>(f.spec.hidden),
                                        .scale = kHalfPower,
                                        .step = f.step});
}

// y becomes what the layer's inputs add to it, before its norm, in `other`.
Status record_gated_inputs(const Forward& f, uint32_t index, const ops::Activations& x) {
  const LayerWeights& weights = f.weights.layers[index];
  const uint32_t width = f.spec.layer_inputs.width;
  LAHAR_TRY(record_product(f, weights.mixer.linears[altup::kInputsGate], x, f.scratch.mid, "inputs gate"));
  LAHAR_TRY(ops::gate_by_inputs(f.recorder, f.scratch.mid, f.scratch.layer_inputs, index * width, width, f.step));
  return record_product(f, weights.mixer.linears[altup::kInputsOutput], f.scratch.mid, f.scratch.other, "inputs output");
}

}  // namespace

uint32_t streams_width(const ModelSpec& spec) { return spec.altup.streams * spec.hidden; }
uint32_t layer_inputs_width(const ModelSpec& spec) {
  return static_cast<uint32_t>(spec.layers.size()) * spec.layer_inputs.width;
}
uint32_t altup_wide(const ModelSpec& spec) { return std::max(streams_width(spec), layer_inputs_width(spec)); }
uint32_t altup_mid(const ModelSpec& spec) { return std::max(spec.altup.laurel_rank, spec.layer_inputs.width); }

Status record_streams(const Forward& f) {
  if (f.spec.layer_inputs.width != 0) LAHAR_TRY(record_layer_inputs(f));
  if (f.spec.altup.streams == 0) return {};
  LAHAR_TRY(record_product(f, f.weights.extra.linears[altup::kExpand], f.scratch.x, f.scratch.wide, "streams"));
  return ops::expand_streams(f.recorder, streams_of(f), f.scratch.x, f.scratch.wide, f.step);
}

Status record_layer_begin(const Forward& f, const LayerWeights& weights) {
  if (f.spec.altup.streams == 0) return {};
  return ops::predict_streams(f.recorder, streams_of(f), mixer_of(f, weights, altup::kPredict), f.scratch.x, f.step);
}

Status record_laurel(const Forward& f, const LayerWeights& weights, const ops::Activations& normed) {
  if (f.spec.altup.streams == 0) return {};
  const Scratch& s = f.scratch;
  LAHAR_TRY(record_product(f, weights.mixer.linears[altup::kLaurelLeft], normed, s.mid, "laurel left"));
  LAHAR_TRY(record_product(f, weights.mixer.linears[altup::kLaurelRight], s.mid, s.other, "laurel right"));
  LAHAR_TRY(record_normed(f, weights.mixer.vectors[altup::kLaurelNorm], normed, s.other, "laurel norm"));
  return ops::average(f.recorder, s.x, s.other, f.spec.hidden, f.step);
}

Status record_layer_end(const Forward& f, uint32_t index) {
  const Scratch& s = f.scratch;
  const LayerWeights& weights = f.weights.layers[index];
  const bool streams = f.spec.altup.streams != 0;
  if (streams)
    LAHAR_TRY(ops::correct_streams(f.recorder, streams_of(f), mixer_of(f, weights, altup::kCorrect), s.x, s.normed, f.step));
  if (f.spec.layer_inputs.width != 0) {
    LAHAR_TRY(record_gated_inputs(f, index, streams ? s.normed : s.x));
    const gpu::BufferRange& norm = weights.mixer.vectors[altup::kInputsPostNorm];
    LAHAR_TRY(record_normed(f, norm, streams ? ops::Activations{} : s.x, streams ? s.other : s.x, "inputs norm",
                            f.spec.layers[index].end_scale));
    if (streams) LAHAR_TRY(ops::add_to_streams(f.recorder, streams_of(f), s.other, f.step));
  }
  return {};
}

Status record_merge(const Forward& f) {
  const uint32_t streams = f.spec.altup.streams;
  if (streams == 0) return {};
  for (uint32_t i = 1; i < streams; ++i)
    LAHAR_TRY(record_product(f, f.weights.extra.linears[altup::kMerge + i - 1],
                             columns_from(f.scratch.streams, i * f.spec.hidden),
                             columns_from(f.scratch.wide, (i - 1) * f.spec.hidden), "merge"));
  return ops::merge_streams(f.recorder, streams_of(f), f.scratch.x, f.scratch.wide, f.step);
}

}  // namespace lahar
