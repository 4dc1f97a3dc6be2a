// A product for each head with a small matrix of its own: multi-head latent attention's up-projections.
#pragma once

#include "ops/common.h"
#include "quant/matrix.h"

namespace lahar::ops {

// For every row and head h, with W_h the rows [h * head_rows, (h + 1) * head_rows) of w:
//   y_h = scale * W_h x_h     x_h [cols], y_h [head_rows]
//   y_h = scale * W_h^T x_h   x_h [head_rows], y_h [cols], where `transposed`
// x_h lies x_head floats after x_(h-1) within a row, y_h y_head floats after y_(h-1). cols and head_rows are multiples of 4,
// and so are x_head and y_head. fp32 throughout; deterministic.
struct HeadProductParams {
  const quant::Matrix* w = nullptr;  // [heads * head_rows, cols]
  Activations x, y;
  uint32_t heads = 0, head_rows = 0;
  uint32_t x_head = 0, y_head = 0;
  bool transposed = false;
  float scale = 1;
  StepRef step;
  std::string_view label;
};
Status head_product(gpu::Recorder& recorder, const HeadProductParams& params);

}  // namespace lahar::ops
