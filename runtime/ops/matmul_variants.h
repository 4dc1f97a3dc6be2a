// Inside of ops: the ways to compute a matmul. matmul() chooses by what the device is; tests and measurements name one.
#pragma once

#include <vector>

#include "ops/matmul.h"
#include "quant/layout.h"

namespace lahar::ops {

enum class MatmulVariant {
  kAuto,
  kGemv,  // a subgroup along the columns of W; up to 16 rows of x
  kGemm,  // fp32 tiles in shared memory; any number of rows of x
  kCoop,  // cooperative matrices, fp16 operands; any number of rows of x, Precision::kDefault alone
  kLine,  // straight-line code over CPU vectors; any number of rows of x
};

// False where the device or the shape rules it out (kAuto is always true).
bool can_matmul(const gpu::Caps& caps, MatmulVariant variant, const MatmulParams& params);
// Errors: those of matmul(); kInvalidArgument where !can_matmul().
Status matmul_with(gpu::Recorder& recorder, const MatmulParams& params, MatmulVariant variant);

// How line.comp cuts the work: rows of W and of x for each subgroup, and the parts that the columns are cut into.
struct LineShape {
  uint32_t rows = 0, x_rows = 0, chunks = 0;
};
// All zero where no shape will do.
LineShape line_shape(const gpu::Caps& caps, const MatmulParams& params);
// kLine with a shape of the caller's, for measurements: rows is even with a gated activation, chunks divides the columns
// into whole steps of the format.
Status matmul_line(gpu::Recorder& recorder, const MatmulParams& params, const LineShape& shape);

namespace detail {
// What the files of matmul share.
Status check_matmul(const MatmulParams& params, quant::Layout& shape);
uint32_t matmul_flags(const MatmulParams& params);  // without kMatmulTail
uint32_t matmul_y_rows(const MatmulParams& params);
uint32_t matmul_x_rows(const MatmulParams& params);
// Records one dispatch with matmul's reads and writes.
void record_matmul(gpu::Recorder& recorder, const MatmulParams& params, const quant::Layout& shape,
                   const gpu::KernelDesc& kernel, std::span<const std::byte> push, gpu::GroupCount groups);
// n workgroups as x * y, each below the device's limit; some may lie beyond n.
gpu::GroupCount spread_groups(uint64_t n, const gpu::Caps& caps);
void list_line_kernels(const gpu::Caps& caps, std::vector<gpu::KernelDesc>& out);
}  // namespace detail

}  // namespace lahar::ops
