// RMSNorm or LayerNorm of one row a workgroup: y = norm(x) * weight (+ bias), or residual_factor * residual +
// residual_scale * that. The row is read once for each moment (from cache) and once for the result; rows beyond the step's are left alone. Loads are 16
// bytes, the last width % 4 floats single. y may be x or the residual: a workgroup touches its own row, an invocation writes
// what it alone reads after the last reduction.
#version 460
#extension GL_GOOGLE_include_directive : require
layout(local_size_x_id = 0) in;
layout(constant_id = 3) const uint SUBGROUPS = 1;
layout(constant_id = 4) const uint KIND = 0;  // 0 RMS, 1 Layer
layout(constant_id = 5) const uint FLAGS = 1;
#include "reduce.glsl"
#include "rows.glsl"
#include "params_norm.h"

layout(push_constant, scalar) uniform Push { NormPush p; };

float sum4(vec4 v) { return (v.x + v.y) + (v.z + v.w); }

vec4 finish4(vec4 n, uint offset, uint64_t residual) {
  if ((FLAGS & kNormWeight) != 0) n *= load_f32x4(p.weight, offset);
  if ((FLAGS & kNormBias) != 0) n += load_f32x4(p.bias, offset);
  if ((FLAGS & kNormResidual) != 0) n = p.residual_factor * load_f32x4(residual, offset) + p.residual_scale * n;
  return n;
}

float finish1(float n, uint offset, uint64_t residual) {
  if ((FLAGS & kNormWeight) != 0) n *= load_f32(p.weight, offset);
  if ((FLAGS & kNormBias) != 0) n += load_f32(p.bias, offset);
  if ((FLAGS & kNormResidual) != 0) n = p.residual_factor * load_f32(residual, offset) + p.residual_scale * n;
  return n;
}

void main() {
  const uint t = gl_WorkGroupID.x;
  const bool gather = (FLAGS & kNormGather) != 0;
  if (t >= (gather ? step_logits(p.step) : step_rows(p.step))) return;
  const uint source = gather ? step_logit_row(p.step, t) : t;
  const uint64_t x = p.x + uint64_t(source) * (4 * p.x_stride);
  const uint64_t y = p.y + uint64_t(t) * (4 * p.y_stride);
  const uint64_t residual = p.residual + uint64_t(t) * (4 * p.residual_stride);
  const uint first = 16 * gl_LocalInvocationIndex;
  const uint stride = 16 * gl_WorkGroupSize.x;
  const uint end4 = 4 * (p.width & ~3u);
  const uint tail = end4 + 4 * gl_LocalInvocationIndex;
  const bool has_tail = tail < 4 * p.width;
  const float inverse_width = 1 / float(p.width);

  float mean = 0;
  if (KIND == 1) {
    vec4 sum = vec4(0);
    for (uint o = first; o < end4; o += stride) sum += load_f32x4(x, o);
    mean = workgroup_sum(sum4(sum) + (has_tail ? load_f32(x, tail) : 0)) * inverse_width;
  }
  vec4 squares = vec4(0);
  for (uint o = first; o < end4; o += stride) {
    const vec4 v = load_f32x4(x, o) - mean;
    squares += v * v;
  }
  const float last = has_tail ? load_f32(x, tail) - mean : 0;
  const float scale = inversesqrt(workgroup_sum(sum4(squares) + last * last) * inverse_width + p.eps);

  for (uint o = first; o < end4; o += stride) store_f32x4(y, o, finish4((load_f32x4(x, o) - mean) * scale, o, residual));
  if (has_tail) store_f32(y, tail, finish1(last * scale, tail, residual));
}
