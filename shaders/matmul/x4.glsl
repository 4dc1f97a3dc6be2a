// Rows of x, four columns at a time. Expects FLAGS and `p` with cols.
#ifndef LAHAR_X4_GLSL
#define LAHAR_X4_GLSL

// Four values of a row of x from `column` on, zero past the last; `row` is the row's address.
vec4 load_x4(uint64_t row, uint offset, uint column) {
  if ((FLAGS & kMatmulTail) == 0) return load_f32x4(row, offset + column * 4);
  if (column >= p.cols) return vec4(0);
  const vec4 v = load_f32x4(row, offset + column * 4);
  const uint n = p.cols - column;
  return vec4(v.x, n > 1 ? v.y : 0, n > 2 ? v.z : 0, n > 3 ? v.w : 0);
}
#endif
