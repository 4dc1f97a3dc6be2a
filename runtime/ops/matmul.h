// y = W x over the rows of a step, for every weight format: GEMV for up to 16 rows, tiled GEMM above.
#pragma once

#include "ops/common.h"
#include "ops/tuning.h"
#include "ops/x_rows.h"
#include "quant/matrix.h"

namespace lahar::ops {

// An RMS norm between two products, computed along with them instead of by a dispatch of its own: the product before it
// writes y_t * weight to `scaled` besides y_t, and sums of squares of y_t; the one after it takes `scaled` as its x and
// multiplies W x by 1 / sqrt(mean of the squares + eps).
struct NormFold {
  gpu::BufferRange block;    // params::NormFold: addresses of the rest, width, eps
  gpu::BufferRange weight;   // fp32 [width]
  Activations scaled;        // [bucket, width]
  gpu::BufferRange squares;  // norm_fold_squares_bytes(bucket) bytes
};
uint64_t norm_fold_squares_bytes(uint32_t bucket);

struct ExpertRows;  // matmul_paths.h

// For each row t:  v = scale * (W x_t) + bias;  v = softcap * tanh(v / softcap) where softcap > 0;
//   glu == kNone: y_t = v (+ residual_t);   else: W stacks gate and up, [2F, cols], and y_t = glu(v[0:F]) * v[F:2F].
// Order of the terms with a residual: y = residual + residual_scale * (W x + bias).
struct MatmulParams {
  const quant::Matrix* w = nullptr;
  Activations x;          // [bucket, w->cols]
  Activations y;          // [bucket, w->rows], or [bucket, w->rows / 2] with glu; may be the residual's own memory
  gpu::BufferRange bias;  // fp32 [w->rows]; optional
  Activations residual;   // [bucket, w->rows]; optional; the same memory as y or apart from it
  float residual_scale = 1;
  float scale = 1;
  float softcap = 0;
  Activation glu = Activation::kNone;
  // At most one of the two: x is x_norm->scaled; y is followed by y_norm.
  const NormFold* x_norm = nullptr;
  const NormFold* y_norm = nullptr;
  Activations glu_scratch;  // [bucket, w->rows], used with glu where it cannot be fused
  StepRef step;
  // With logits set, row i of y is row StepState::logit_rows[i] of x, for i < StepState::n_logits; bucket counts those.
  bool logit_rows = false;
  Precision precision = Precision::kDefault;
  // For forms that take x in another type (integer dot products, matrix units): matmul_scratch_bytes() on a base of 16
  // bytes, free for this op alone. Without it such forms cannot run.
  gpu::BufferRange x_scratch;
  const Tuning* tuning = nullptr;
  std::string_view label;
  // Inside of ops::moe() alone: rows of x and y are grouped by expert, each with a matrix of its own; w has no planes then.
  const ExpertRows* grouped = nullptr;
};
// Errors: kInvalidArgument (shapes that do not fit together, with the label).
Status matmul(gpu::Recorder& recorder, const MatmulParams& params);

// True where the form that matmul() would choose for these params without their x_norm and y_norm can compute them along
// (their contents do not matter here).
bool can_fold_norm(const gpu::Caps& caps, const MatmulParams& params);

uint64_t matmul_scratch_bytes(uint32_t cols, uint32_t bucket);

}  // namespace lahar::ops
