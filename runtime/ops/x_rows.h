// Rows of activations as matrix units and integer dot products take them: int8 with a scale per 32 columns, or fp16 with a
// scale per row (shaders/include/params_x_rows.h has the layout).
#pragma once

#include "ops/common.h"

namespace lahar::ops {

enum class RowsKind : uint32_t { kInt8 = 0, kHalf = 1 };
uint32_t converted_row_bytes(RowsKind kind, uint32_t width);

struct ConvertRowsParams {
  RowsKind kind = RowsKind::kInt8;
  Activations x;  // [bucket, width]
  uint32_t width = 0;
  gpu::BufferRange y;  // converted_row_bytes() * bucket, on a base of 16 bytes; apart from x
  StepRef step;
  // With logits set, row i of y is row StepState::logit_rows[i] of x, for i < StepState::n_logits; bucket counts those.
  bool logit_rows = false;
  std::string_view label;
};
// Errors: kInvalidArgument (shapes that do not fit together, with the label).
Status convert_rows(gpu::Recorder& recorder, const ConvertRowsParams& params);

}  // namespace lahar::ops
