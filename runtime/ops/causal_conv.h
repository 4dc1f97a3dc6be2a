// Causal depthwise convolution along each run of the step, with the inputs before it kept as recurrent state.
#pragma once

#include "ops/activation.h"
#include "ops/state.h"

namespace lahar::ops {

// With u_t = x_t * x_gate_t (or x_t), for every channel c:
//   y_t[c] = f(bias[c] + sum over k of weight[c][k] * u_{t - (taps - 1) + k}[c]) * y_gate_t[c]
// Inputs before the run's first row are those of the state it reads (zeros where it reads none). The state is the last
// taps - 1 inputs u, [taps - 1][channels, rounded up to 4], oldest first; after a run it is in the slot that it writes.
struct CausalConvParams {
  Activations x;       // [bucket, channels]
  Activations x_gate;  // [bucket, channels]; optional
  Activations y;       // [bucket, channels]; apart from x and x_gate
  Activations y_gate;  // [bucket, channels]; optional
  uint32_t channels = 0;
  uint32_t taps = 4;                          // 2 to 8
  gpu::BufferRange weight;                    // fp32 [channels, taps]
  gpu::BufferRange bias;                      // fp32 [channels]; optional
  Activation activation = Activation::kNone;  // f
  StateRef state;
  uint64_t state_offset = 0;  // bytes behind state.address(), a multiple of 16
  StepRef step;
  std::string_view label;
};
Status causal_conv(gpu::Recorder& recorder, const CausalConvParams& params);

// A multiple of 16.
uint64_t causal_conv_state_bytes(uint32_t channels, uint32_t taps);

}  // namespace lahar::ops
