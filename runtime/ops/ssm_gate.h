// The RMS norm over groups of channels that ends recurrent mixers, with their gate.
#pragma once

#include "ops/common.h"

namespace lahar::ops {

enum class GateOrder {
  kGateFirst,  // y = norm(x * silu(gate)) * weight
  kNormFirst,  // y = norm(x) * weight * silu(gate)
  kGateAlone,  // y = x * silu(gate)
};

// The norm is x / sqrt(mean(x^2) + eps) over each of `groups` groups of `width` channels. The gate is multiplied by
// gate_scale before its silu.
struct SsmGateParams {
  GateOrder order = GateOrder::kGateFirst;
  Activations x;     // [bucket, groups * width]
  Activations gate;  // [bucket, groups * width]; without one there is the norm alone
  Activations y;     // [bucket, groups * width]; may be x's own memory
  uint32_t groups = 1, width = 0;
  gpu::BufferRange weight;     // fp32 [groups * width], or [width] with shared_weight; optional (ones)
  bool shared_weight = false;  // one weight for all groups
  float eps = 1e-5f;
  float gate_scale = 1;
  StepRef step;
  std::string_view label;
};
Status ssm_gate(gpu::Recorder& recorder, const SsmGateParams& params);

}  // namespace lahar::ops
