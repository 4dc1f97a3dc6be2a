// AltUp's residual streams, inputs of each layer's own, and sparse activations: Gemma 3n and its successors.
// Formulas: arXiv 2301.13310, and transformers' gemma3n.
#pragma once

#include "ops/common.h"

namespace lahar::ops {

// n streams of `width` floats side by side in each row; stream i begins i * stream_width floats into it.
struct StreamsRef {
  Activations rows;  // [bucket, n * stream_width]
  uint32_t streams = 0, active = 0;
  uint32_t width = 0, stream_width = 0;  // multiples of 4
};

// The weights by which streams mix, fp32. With m = tanh(router . (rms_norm(x) * norm / width)), one a stream:
struct StreamMixer {
  gpu::BufferRange norm;          // [width]
  gpu::BufferRange router;        // [n, width]
  gpu::BufferRange coefficients;  // [n * n, n] of predict, [n, n] of correct
  gpu::BufferRange scale;         // [width]; optional
  float eps = 1e-6f;
};

// m of the active stream: S_i += sum_j (coefficients m)[i n + j] S_j;  x = S_active.
Status predict_streams(gpu::Recorder& recorder, const StreamsRef& s, const StreamMixer& mixer, const Activations& x,
                       const StepRef& step);
// m of x: S_i += (1 + (coefficients m)[i]) (x - S_active);  y = S_active * scale.
Status correct_streams(gpu::Recorder& recorder, const StreamsRef& s, const StreamMixer& mixer, const Activations& x,
                       const Activations& y, const StepRef& step);
// S_0 = x;  S_i = y_(i-1) scaled to the magnitude of x, where y holds n - 1 rows side by side as the streams are.
Status expand_streams(gpu::Recorder& recorder, const StreamsRef& s, const Activations& x, const Activations& y,
                      const StepRef& step);
// x = (S_0 + sum of y_(i-1) scaled to the magnitude of S_0) / n.
Status merge_streams(gpu::Recorder& recorder, const StreamsRef& s, const Activations& x, const Activations& y,
                     const StepRef& step);
// S_i += y for i > 0.
Status add_to_streams(gpu::Recorder& recorder, const StreamsRef& s, const Activations& y, const StepRef& step);
// x = (x + y) / sqrt 2.
Status average(gpu::Recorder& recorder, const Activations& x, const Activations& y, uint32_t width, const StepRef& step);

// inputs_t += scale * rms_norm(x_t) * weight, over each of `layers` parts of `width` floats.
struct LayerInputsParams {
  Activations x, inputs;  // [bucket, layers * width]
  uint32_t layers = 0, width = 0;
  gpu::BufferRange weight;  // fp32 [width]
  float eps = 1e-6f, scale = 1;
  StepRef step;
};
Status layer_inputs(gpu::Recorder& recorder, const LayerInputsParams& params);
// x_t = gelu_tanh(x_t) * inputs_t[first, first + width).
Status gate_by_inputs(gpu::Recorder& recorder, const Activations& x, const Activations& inputs, uint32_t first,
                      uint32_t width, const StepRef& step);
// x_t = max(0, x_t - (mean + deviations * standard deviation)) over x_t's first `width` floats; `divisor` of the squares'
// sum is width, or width - 1 for a sample's.
Status cut_below(gpu::Recorder& recorder, const Activations& x, uint32_t width, float deviations, uint32_t divisor,
                 const StepRef& step);

}  // namespace lahar::ops
