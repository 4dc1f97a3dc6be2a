#include <algorithm>

#include "ops/matmul_push.h"
#include "ops/matmul_variants.h"

namespace lahar::ops::detail {

uint32_t matmul_y_rows(const MatmulParams& p) { return p.glu == Activation::kNone ? p.w->rows : p.w->rows / 2; }

uint32_t matmul_x_rows(const MatmulParams& p) {
  if (!p.logit_rows || p.x.stride == 0) return p.step.bucket;
  return static_cast<uint32_t>((p.x.range.size / sizeof(float) - p.w->cols) / p.x.stride + 1);
}

uint32_t matmul_flags(const MatmulParams& p) {
  return (p.bias ? params::kMatmulBias : 0) | (p.residual.range ? params::kMatmulResidual : 0) |
         (p.softcap > 0 ? params::kMatmulSoftcap : 0) | (p.logit_rows ? params::kMatmulGather : 0);
}

Status check_matmul(const MatmulParams& p, quant::Layout& shape) {
  LAHAR_TRY(check_matrix(p.label, p.w, shape));
  const uint32_t bucket = p.step.bucket;
  LAHAR_TRY(check_step(p.label, {p.step.state, p.logit_rows ? 1 : bucket}, UINT32_MAX));
  if (bucket == 0) return invalid(p.label, "a bucket of no rows");
  if (p.glu != Activation::kNone && p.w->rows % 2 != 0)
    return invalid(p.label, "a gated activation of " + std::to_string(p.w->rows) + " rows, an odd number");
  if (p.glu != Activation::kNone && p.residual.range) return invalid(p.label, "a gated activation takes no residual");
  const uint32_t y_rows = matmul_y_rows(p);
  LAHAR_TRY(check_rows(p.label, "x", p.x, p.logit_rows ? 1 : bucket, p.w->cols));
  LAHAR_TRY(check_rows(p.label, "y", p.y, bucket, y_rows));
  if (p.bias) LAHAR_TRY(check_vector(p.label, "bias", p.bias, p.w->rows));
  if (p.residual.range) {
    LAHAR_TRY(check_rows(p.label, "residual", p.residual, bucket, p.w->rows));
    if (!same_rows(p.residual, p.y) && overlaps(rows_of(p.residual, bucket, p.w->rows), rows_of(p.y, bucket, p.w->rows)))
      return invalid(p.label, "y overlaps the residual in other rows");
  }
  const gpu::BufferRange x = p.logit_rows ? p.x.range : rows_of(p.x, bucket, p.w->cols);
  if (overlaps(x, rows_of(p.y, bucket, y_rows))) return invalid(p.label, "y overlaps x");
  // gemv.comp reaches rows of x by a 32-bit offset.
  if (p.x.range.size > UINT32_MAX) return invalid(p.label, "x is over 4 GiB");
  return {};
}

void record_matmul(gpu::Recorder& recorder, const MatmulParams& p, const quant::Layout& shape, const gpu::KernelDesc& kernel,
                   std::span<const std::byte> push, gpu::GroupCount groups) {
  const uint32_t bucket = p.step.bucket;
  const Ranges reads{plane_range(*p.w, shape, 0),
                     plane_range(*p.w, shape, 1),
                     plane_range(*p.w, shape, 2),
                     p.logit_rows ? p.x.range : rows_of(p.x, bucket, p.w->cols),
                     p.bias,
                     p.residual.range ? rows_of(p.residual, bucket, p.w->rows) : gpu::BufferRange{},
                     p.step.state};
  const Ranges writes{rows_of(p.y, bucket, matmul_y_rows(p))};
  recorder.dispatch({.label = p.label,
                     .kernel = recorder.device().kernels().get(kernel),
                     .push = push,
                     .groups = groups,
                     .reads = reads,
                     .writes = writes});
}

gpu::GroupCount spread_groups(uint64_t n, const gpu::Caps& caps) {
  const uint64_t limit = std::min<uint64_t>(caps.max_workgroup_count[0], 65535);
  const uint64_t y = (n + limit - 1) / limit;
  return {static_cast<uint32_t>((n + y - 1) / y), static_cast<uint32_t>(y), 1};
}

}  // namespace lahar::ops::detail
