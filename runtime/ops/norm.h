// RMSNorm and LayerNorm.
#pragma once

#include "ops/common.h"

namespace lahar::ops {

enum class NormKind : uint32_t { kRms = 0, kLayer = 1 };

// n_t = norm(x_t) * weight (+ bias);  y_t = n_t, or, with a residual, y_t = residual_factor * residual_t +
// residual_scale * n_t.
// RMS: x / sqrt(mean(x^2) + eps).  Layer: (x - mean) / sqrt(var + eps), var the mean of squares of the deviation.
struct NormParams {
  NormKind kind = NormKind::kRms;
  Activations x;  // [bucket, width]
  Activations y;  // [bucket, width]; may be x's or the residual's own memory
  uint32_t width = 0;
  gpu::BufferRange weight;  // fp32 [width]; optional (ones)
  gpu::BufferRange bias;    // fp32 [width]; optional
  Activations residual;     // optional
  float residual_scale = 1, residual_factor = 1;
  float eps = 1e-5f;
  StepRef step;
  bool logit_rows = false;  // as in MatmulParams: x's rows are gathered, y's are dense
  std::string_view label;
};
Status norm(gpu::Recorder& recorder, const NormParams& params);

}  // namespace lahar::ops
