// Gated DeltaNet (Qwen3-Next): linear attention with a state matrix a head, from which the delta rule removes what a key
// stood for before it adds the new value. Source of the formula: Yang, Kautz, Hatamizadeh, "Gated Delta Networks" (2024).
#pragma once

#include "ops/state.h"

namespace lahar::ops {

// For each value head, with its key head's q and k of length 1 (x / sqrt(sum x^2 + 1e-6)), q over sqrt(key_dim) besides:
//   g = exp(decay * softplus(alpha + bias)), b = sigmoid(beta)
//   S <- g S;  S <- S + b (v - S k) k^T;  y = S q
// The state is S, fp32 [value_heads][value_dim][key_dim], in the slots that the runs name. Any split of a sequence into runs
// and steps gives the same.
struct DeltaNetParams {
  Activations qkv;          // [bucket, 2 * key_heads * key_dim + value_heads * value_dim]: q, k, v
  Activations beta, alpha;  // [bucket, value_heads]; any alignment of 4 bytes
  Activations y;            // [bucket, value_heads * value_dim]; apart from the others
  uint32_t key_heads = 0, value_heads = 0, key_dim = 0, value_dim = 0;  // dims are multiples of 4; key_dim at most 256
  bool tiled = false;            // value head h reads key head h % key_heads, else h / (value_heads / key_heads)
  gpu::BufferRange decay, bias;  // fp32 [value_heads]
  StateRef state;
  uint64_t state_offset = 0;  // bytes behind state.address(), a multiple of 16
  StepRef step;
  std::string_view label;
};
Status delta_net(gpu::Recorder& recorder, const DeltaNetParams& params);

uint64_t delta_net_state_bytes(uint32_t value_heads, uint32_t key_dim, uint32_t value_dim);

// y = rms_norm(x) * weight * silu(gate), the norm over each head.
struct GatedNormParams {
  Activations x, gate;          // [bucket, heads * dim]
  Activations y;                // [bucket, heads * dim]; may be x's own memory
  uint32_t heads = 0, dim = 0;  // dim: a multiple of 4
  gpu::BufferRange weight;      // fp32 [dim]
  float eps = 1e-6f;
  StepRef step;
  std::string_view label;
};
Status gated_norm(gpu::Recorder& recorder, const GatedNormParams& params);

}  // namespace lahar::ops
