// Inside of ops: the ways to compute a matmul. matmul() chooses by what the device is; tests and measurements name one.
#pragma once

#include "ops/matmul.h"

namespace lahar::ops {

enum class MatmulVariant {
  kAuto,
  kGemv,  // a subgroup along the columns of W; up to 16 rows of x
  kGemm,  // fp32 tiles in shared memory; any number of rows of x
};

// False where the device or the shape rules it out (kAuto is always true).
bool can_matmul(const gpu::Caps& caps, MatmulVariant variant, const MatmulParams& params);
// Errors: those of matmul(); kInvalidArgument where !can_matmul().
Status matmul_with(gpu::Recorder& recorder, const MatmulParams& params, MatmulVariant variant);

}  // namespace lahar::ops
