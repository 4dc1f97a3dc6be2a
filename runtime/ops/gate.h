// A sigmoid gate.
#pragma once

#include "ops/common.h"

namespace lahar::ops {

// y_t = a_t * sigmoid(gate_t), or, with a residual, residual_t + residual_scale * a_t * sigmoid(gate_t).
struct GateParams {
  Activations a, gate;   // [bucket, width]
  Activations y;         // [bucket, width]; may be a's or the residual's own memory
  Activations residual;  // optional
  float residual_scale = 1;
  uint32_t width = 0;  // a multiple of 4
  StepRef step;
  std::string_view label;
};
Status gate(gpu::Recorder& recorder, const GateParams& params);

}  // namespace lahar::ops
