// What RWKV's layers need beside products: token shift, the linear attention of RWKV-4, the state matrices of RWKV-7.
// Source of the formulas: Peng et al., "RWKV: Reinventing RNNs for the Transformer Era" (2023) and "RWKV-7 Goose" (2025).
#pragma once

#include <span>

#include "ops/planes.h"
#include "ops/state.h"

namespace lahar::ops {

// y_m,t = x_t + (x_{t-1} - x_t) * mix_m. The state is the x before the run's first row, fp32 [width].
struct TokenShiftParams {
  Activations x;                            // [bucket, width]
  Planes y;                                 // a plane for each mix; apart from x
  std::span<const gpu::BufferRange> mixes;  // fp32 [width] each, 1 to 6
  uint32_t width = 0;                       // a multiple of 4
  StateRef state;
  uint64_t state_offset = 0;  // bytes behind state.address(), a multiple of 16
  StepRef step;
  std::string_view label;
};
Status token_shift(gpu::Recorder& recorder, const TokenShiftParams& params);
uint64_t token_shift_state_bytes(uint32_t width);

// y_t = sigmoid(r_t) * (num + e^(first + k_t) v_t) / (den + e^(first + k_t)), where num and den sum up e^k v and e^k of the
// tokens before, each decayed by e^decay a token. The state is fp32 [3][width]: num and den over e^top, and top, the largest
// exponent in them.
struct Wkv4Params {
  Activations k, v, r;            // [bucket, width], of one stride
  Activations y;                  // [bucket, width]; may be any of the others' memory
  gpu::BufferRange decay, first;  // fp32 [width]; decay is negative
  uint32_t width = 0;
  StateRef state;
  uint64_t state_offset = 0;  // bytes behind state.address(), a multiple of 16
  StepRef step;
  std::string_view label;
};
Status wkv4(gpu::Recorder& recorder, const Wkv4Params& params);
uint64_t wkv4_state_bytes(uint32_t width);  // a multiple of 16

// What both kernels of RWKV-7 read. Widths are heads * head_dim.
struct Rwkv7Inputs {
  Planes planes;                          // raw projections [bucket, width], in the order of params::kRwkv7R and so on
  Activations v, v_first;                 // [bucket, width], of one stride; v_first is the first layer's v, absent there
  uint32_t heads = 0, head_dim = 0;       // head_dim: a multiple of 4, at most 256
  gpu::BufferRange w0, a0, v0, k_k, k_a;  // fp32 [width]; v0 is absent in the first layer
  StepRef step;
  std::string_view label;
};

// With a = sigmoid(a0 + A_t), w = exp(-e^-0.5 sigmoid(w0 + W_t)), kk = k * k_k of length 1 in each head,
// k' = k (1 + (a - 1) k_a), v' = v + (v_first - v) sigmoid(v0 + V_t):
//   S <- S diag(w) - (S kk) (kk a)^T + v' k'^T;  y = S r
// The state is S, fp32 [heads][head_dim of v][head_dim of k].
struct Rwkv7Params {
  Rwkv7Inputs in;
  Activations y;  // [bucket, width]; apart from the others
  StateRef state;
  uint64_t state_offset = 0;  // bytes behind state.address(), a multiple of 16
};
Status rwkv7(gpu::Recorder& recorder, const Rwkv7Params& params);
uint64_t rwkv7_state_bytes(uint32_t heads, uint32_t head_dim);

// y <- (layer_norm(y) * norm + norm_bias + (r . (k' * r_k)) v') * G_t, the norm over each head.
struct Rwkv7OutputParams {
  Rwkv7Inputs in;
  Activations y;                          // [bucket, width], read and written
  gpu::BufferRange r_k, norm, norm_bias;  // fp32 [width]
  float eps = 64e-5f;
};
Status rwkv7_output(gpu::Recorder& recorder, const Rwkv7OutputParams& params);

}  // namespace lahar::ops
