// An RMS norm that products around it compute along (NormFold, whose address is `fold`): its factor, and what it needs.
#ifndef LAHAR_NORM_PARTS_GLSL
#define LAHAR_NORM_PARTS_GLSL
#extension GL_KHR_shader_subgroup_arithmetic : require
#include "load.glsl"
#include "params_matmul.h"
layout(buffer_reference, scalar, buffer_reference_align = 8) readonly buffer NormFoldRef { NormFold v; };

// Of a row of x. All lanes of a subgroup together.
float fold_factor(uint64_t fold, uint row) {
  const NormFold f = NormFoldRef(fold).v;
  const uint parts = min(load_u32(f.squares, 0), kSquareParts);
  const uint64_t squares = f.squares + uint64_t(16 + row * (4 * kSquareParts));
  float v = 0;
  for (uint i = 0; i < parts; i += gl_SubgroupSize) {
    const uint part = i + gl_SubgroupInvocationID;
    v += part < parts ? load_f32(squares, min(part, kSquareParts - 1) * 4) : 0;
  }
  return inversesqrt(subgroupAdd(v) / float(f.width) + f.eps);
}

// Element `row` of row t of y; returns its square.
float fold_scaled(uint64_t fold, uint t, uint row, float y) {
  const NormFold f = NormFoldRef(fold).v;
  store_f32(f.scaled + uint64_t(t) * uint64_t(4 * f.scaled_stride), row * 4, y * load_f32(f.weight, row * 4));
  return y * y;
}

// A workgroup's sum for row t, one invocation; `part` of `parts` workgroups that share the rows of W.
void fold_squares(uint64_t fold, uint t, uint part, uint parts, float sum) {
  const uint64_t squares = NormFoldRef(fold).v.squares;
  if (part < kSquareParts) store_f32(squares, 16 + (t * kSquareParts + part) * 4, sum);
  if (t == 0 && part == 0) store_u32(squares, 0, parts);
}
#endif
