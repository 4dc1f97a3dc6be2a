// The selective scan of Mamba and Mamba-2 along each run of the step.
#pragma once

#include "ops/state.h"

namespace lahar::ops {

// Columns of wider rows, from any float on.
struct Columns {
  Activations rows;
  uint32_t first = 0;
};

// For each head h of group g = h / (heads / groups), its dims p and the state's n:
//   dt = clamp(softplus(dt_scale * dt_t[h] + dt_bias[h]), dt_min, dt_max)
//   S[h][p][n] = exp(dt * A) * S[h][p][n] + dt * B_t[g][n] * x_t[h][p]
//   y_t[h][p]  = sum over n of C_t[g][n] * S[h][p][n]  +  D[h] * x_t[h][p]
// A is a[h], or a[h][n] with a_per_state (Mamba, whose heads are channels: head_dim 1). The state in the slots is fp32
// [heads][head_dim][state, rounded up to 4].
struct SsmScanParams {
  Columns x;      // [bucket, heads * head_dim]
  Columns b, c;   // [bucket, groups * state], columns of the same rows
  Columns dt;     // [bucket, heads]
  Activations y;  // [bucket, heads * head_dim]; apart from the others
  uint32_t heads = 0, head_dim = 1, groups = 1, state = 0;
  gpu::BufferRange a;  // fp32 [heads], or [heads, state]; below 0
  bool a_per_state = false;
  gpu::BufferRange d;        // fp32 [heads]; optional
  gpu::BufferRange dt_bias;  // fp32 [heads]; optional
  float dt_min = 0, dt_max = 3.4e38f, dt_scale = 1;
  StateRef slots;
  uint64_t state_offset = 0;  // bytes behind slots.address(), a multiple of 16
  gpu::BufferRange scratch;   // ssm_scan_scratch_bytes(); with less, runs are not split
  StepRef step;
  std::string_view label;
};
Status ssm_scan(gpu::Recorder& recorder, const SsmScanParams& params);

// On a GPU long runs are split into chunks that are scanned at once, each from the state in front of it.
uint64_t ssm_scan_scratch_bytes(const gpu::Caps& caps, uint32_t rows, uint32_t heads, uint32_t head_dim, uint32_t state);

// A multiple of 16.
uint64_t ssm_state_bytes(uint32_t heads, uint32_t head_dim, uint32_t state);

}  // namespace lahar::ops
