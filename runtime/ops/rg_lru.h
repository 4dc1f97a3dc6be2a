// The real-gated linear recurrent unit (RG-LRU) of Griffin and RecurrentGemma.
// Source of the formula: De et al., "Griffin: Mixing Gated Linear Recurrences with Local Attention" (2024).
#pragma once

#include "ops/state.h"

namespace lahar::ops {

// For every channel, with i_t = sigmoid(input_gate_t + input_bias) and r_t = sigmoid(recurrent_gate_t + recurrent_bias):
//   a_t = exp(decay * r_t);  h_t = a_t * h_{t-1} + sqrt(1 - a_t^2) * i_t * x_t;  y_t = h_t * f(y_gate_t)
// A run that reads no state begins a sequence: there, h_0 = i_0 * x_0. The state is h, fp32 [width].
struct RgLruParams {
  Activations x, y_gate;                        // [bucket, width]
  Activations input_gate, recurrent_gate;       // [bucket, width], of one stride
  Activations y;                                // [bucket, width]; may be any of the others' memory
  gpu::BufferRange input_bias, recurrent_bias;  // fp32 [width]
  gpu::BufferRange decay;                       // fp32 [width], not above 0
  Activation activation = Activation::kNone;    // f
  uint32_t width = 0;
  StateRef state;
  uint64_t state_offset = 0;  // bytes behind state.address(), a multiple of 16
  StepRef step;
  std::string_view label;
};
Status rg_lru(gpu::Recorder& recorder, const RgLruParams& params);
uint64_t rg_lru_state_bytes(uint32_t width);  // a multiple of 16

}  // namespace lahar::ops
