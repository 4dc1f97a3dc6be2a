// A gated feed-forward block in one dispatch, on devices where a dispatch costs more than its work.
#pragma once

#include "ops/matmul.h"

namespace lahar::ops {

// y += residual_scale * (down (f(gate x) * (up x))), for a step of one row.
struct GatedFfnParams {
  const quant::Matrix* gate_up = nullptr;  // stacked, [2 width, cols]
  const quant::Matrix* down = nullptr;     // [rows, width], of the same format
  Activation activation = Activation::kSilu;
  float residual_scale = 1;
  Activations x;                     // [1, cols]
  Activations y;                     // [1, rows]
  const NormFold* x_norm = nullptr;  // x is its `scaled`
  const NormFold* y_norm = nullptr;  // follows y
  Activations mid;                   // [1, width], written
  gpu::BufferRange parts;            // gated_ffn_parts_bytes() bytes, written
  gpu::BufferRange counter;          // uint32; 0 beforehand, and 0 again
  StepRef step;
  const Tuning* tuning = nullptr;
  std::string_view label;
};
// False where the device, the formats or the sizes rule it out, or the products' form of the same code is in quarantine:
// matmul() computes the two products then. `parts` and `counter` must be there.
bool can_gated_ffn(const gpu::Caps& caps, const GatedFfnParams& params);
uint64_t gated_ffn_parts_bytes(uint32_t rows);
// Errors: kInvalidArgument (shapes that do not fit together, with the label; !can_gated_ffn()).
Status gated_ffn(gpu::Recorder& recorder, const GatedFfnParams& params);

}  // namespace lahar::ops
