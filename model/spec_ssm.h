// Mamba and Mamba-2: what ModelSpec says of them.
#pragma once

#include <cstdint>

#include "ops/ssm_gate.h"

namespace lahar {

struct ConvScales {
  float x = 1, b = 1, c = 1;
};

// Mamba-2: z | x B C | dt = scale * (Win u); x B C = silu(conv(x B C)); y = scan(x, B, C, dt); Wout gate(y, z).
// Mamba: x | z = Win u; x = silu(conv(x)); dt | B | C = Wx x; dt = Wdt dt; y = scan(x, B, C, dt); Wout (y * silu(z)).
struct SsmSpec {
  uint32_t inner = 0;              // channels, a multiple of 4
  uint32_t state = 0;              // of one channel (Mamba) or one head's row (Mamba-2)
  uint32_t conv = 0;               // taps of the causal convolution
  uint32_t dt_rank = 0;            // Mamba
  uint32_t heads = 0, groups = 1;  // Mamba-2: inner = heads * head size; B and C are shared by the heads of a group
  bool in_bias = false, out_bias = false, conv_bias = true;
  float dt_min = 0, dt_max = 3.4e38f;  // dt is clamped to, behind its softplus
  ops::GateOrder gate = ops::GateOrder::kGateFirst;
  uint32_t norm_groups = 1;  // of the gate's norm
  float norm_eps = 1e-5f;
  bool inner_norms = false;  // Mamba: dt, B and C are normed, without weights (Falcon Mamba)
  float inner_norm_eps = 1e-6f;

  // Factors of what goes in and comes out, of z and dt, and of x, B and C before the convolution, in whose weights they are
  // (Falcon H1).
  float in_scale = 1, out_scale = 1, gate_scale = 1, dt_scale = 1;
  ConvScales conv_scales;

  uint32_t head_dim() const { return heads == 0 ? 1 : inner / heads; }
  uint32_t conv_channels() const { return heads == 0 ? inner : inner + 2 * groups * state; }
};

}  // namespace lahar
