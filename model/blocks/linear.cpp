#include "blocks/linear.h"

namespace lahar {

Status record_linear(gpu::Recorder& recorder, const Linear& linear, const ops::Activations& x, const ops::Activations& y,
                     const ops::StepRef& step, ops::Precision precision, std::string_view label, const LinearEpilogue& end) {
  for (const LinearPart& part : linear.parts) {
    LAHAR_TRY(ops::matmul(recorder, {.w = &part.matrix,
                                     .x = x,
                                     .y = columns_from(y, part.row),
                                     .bias = linear.bias_of(part),
                                     .residual = columns_from(end.residual, part.row),
                                     .residual_scale = end.residual_scale,
                                     .scale = end.scale * part.scale,
                                     .softcap = end.softcap,
                                     .x_norm = end.x_norm,
                                     .y_norm = end.y_norm,
                                     .step = step,
                                     .logit_rows = end.logit_rows,
                                     .precision = precision,
                                     .x_scratch = end.x_scratch,
                                     .tuning = end.tuning,
                                     .label = label}));
  }
  return {};
}

Status record_head_product(gpu::Recorder& recorder, const Linear& linear, const ops::StepRef& step,
                           ops::HeadProductParams params) {
  params.w = &linear.parts[0].matrix;
  params.scale = linear.parts[0].scale;
  params.step = step;
  return ops::head_product(recorder, params);
}

}  // namespace lahar
