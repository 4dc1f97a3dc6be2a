// The norms that a matmul kernel computes along with its product (NormFold). Expects FLAGS, `p` with an address `fold`, and
// matmul/output.glsl.
#extension GL_KHR_shader_subgroup_arithmetic : require
layout(buffer_reference, scalar, buffer_reference_align = 8) readonly buffer NormFoldRef { NormFold v; };

const bool kNormX = (FLAGS & kMatmulNormX) != 0, kNormY = (FLAGS & kMatmulNormY) != 0;

// Of the norm before, for row t of y. All lanes of a subgroup together.
float norm_factor(uint t) {
  if (!kNormX) return 1;
  const NormFold f = NormFoldRef(p.fold).v;
  const uint parts = min(load_u32(f.squares, 0), kSquareParts);
  const uint64_t row = f.squares + uint64_t(16 + source_row(t) * (4 * kSquareParts));
  float v = 0;
  for (uint i = 0; i < parts; i += gl_SubgroupSize) {
    const uint part = i + gl_SubgroupInvocationID;
    v += part < parts ? load_f32(row, min(part, kSquareParts - 1) * 4) : 0;
  }
  return inversesqrt(subgroupAdd(v) / float(f.width) + f.eps);
}

// Stores element `row` of row t of y, and for the norm after it; returns its square for store_squares(), 0 without a norm.
float store_normed(uint t, uint row, float v) {
  const float y = store_y(t, row, v);
  if (!kNormY) return 0;
  const NormFold f = NormFoldRef(p.fold).v;
  store_f32(f.scaled + uint64_t(t) * uint64_t(4 * f.scaled_stride), row * 4, y * load_f32(f.weight, row * 4));
  return y * y;
}

// A workgroup's sum for row t, one invocation; `part` of `parts` workgroups that share the rows of W.
void store_squares(uint t, uint part, uint parts, float sum) {
  const uint64_t squares = NormFoldRef(p.fold).v.squares;
  if (part < kSquareParts) store_f32(squares, 16 + (t * kSquareParts + part) * 4, sum);
  if (t == 0 && part == 0) store_u32(squares, 0, parts);
}
