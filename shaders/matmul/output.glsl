// What the matmul kernels share: the matrix, the rows of x and the end of the computation. Expects FLAGS, GLU and
// `p` (MatmulPush).
#include "activation.glsl"
#include "quant/decode.glsl"
#include "rows.glsl"

Weights the_weights() { return Weights(p.w0, p.w1, p.w2, p.row_bytes0, p.row_bytes1, p.row_bytes2, p.group); }

// Rows of y that are in use.
uint used_rows() { return min((FLAGS & kMatmulGather) != 0 ? step_logits(p.step) : step_rows(p.step), p.bucket); }
// The row of x that row t of y comes from.
uint source_row(uint t) {
  return min((FLAGS & kMatmulGather) != 0 ? step_logit_row(p.step, t) : t, p.x_rows - 1);
}

// Four values of a row of x from `column` on, zero past the last; `row` is the row's address.
vec4 load_x4(uint64_t row, uint offset, uint column) {
  if ((FLAGS & kMatmulTail) == 0) return load_f32x4(row, offset + column * 4);
  if (column >= p.cols) return vec4(0);
  const vec4 v = load_f32x4(row, offset + column * 4);
  const uint n = p.cols - column;
  return vec4(v.x, n > 1 ? v.y : 0, n > 2 ? v.z : 0, n > 3 ? v.w : 0);
}

float finish(float v, uint row) {
  v *= p.scale;
  if ((FLAGS & kMatmulBias) != 0) v += load_f32(p.bias, row * 4);
  // tanh by the exponential of a negative number: cannot overflow.
  if ((FLAGS & kMatmulSoftcap) != 0) {
    const float u = v / p.softcap, e = exp(-2 * abs(u));
    v = p.softcap * sign(u) * ((1 - e) / (1 + e));
  }
  return v;
}

void store_y(uint t, uint row, float v) {
  if ((FLAGS & kMatmulResidual) != 0)
    v = load_f32(p.residual + uint64_t(t) * uint64_t(4 * p.residual_stride), row * 4) + p.residual_scale * v;
  store_f32(p.y + uint64_t(t) * uint64_t(4 * p.y_stride), row * 4, v);
}
