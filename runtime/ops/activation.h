// Element-wise activations of the feed-forward block.
#pragma once

#include "ops/common.h"

namespace lahar::ops {

// gated: x_t holds gate [width] then up [width], y_t = f(gate) * up.  Else y_t = f(x_t); y may be x's own memory.
// kGelu: x/2 * (1 + erf(x / sqrt 2)).  kGeluTanh: x/2 * (1 + tanh(sqrt(2/pi) * (x + 0.044715 x^3))).
struct ActivationParams {
  Activation kind = Activation::kSilu;
  bool gated = false;
  Activations x;
  Activations y;  // [bucket, width]
  uint32_t width = 0;
  StepRef step;
  std::string_view label;
};
Status activation(gpu::Recorder& recorder, const ActivationParams& params);

}  // namespace lahar::ops
