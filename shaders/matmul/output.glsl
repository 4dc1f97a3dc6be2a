// What the matmul kernels share: which rows there are, and the end of the computation. Expects FLAGS and `p` (MatmulPush or
// LinePush).
#include "activation.glsl"
#include "matmul/experts.glsl"


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

float add_residual(uint t, uint row, float v) {
  if ((FLAGS & kMatmulResidual) != 0)
    v = load_f32(p.residual + uint64_t(t) * uint64_t(4 * p.residual_stride), row * 4) + p.residual_scale * v;
  return v;
}

// Returns what was stored.
float store_y(uint t, uint row, float v) {
  v = add_residual(t, row, v);
  store_f32(p.y + uint64_t(target_row(t)) * uint64_t(4 * p.y_stride), row * 4, v);
  return v;
}
