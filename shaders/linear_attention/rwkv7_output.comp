// What follows RWKV-7's state, for one head and row a workgroup, in place:
//   y <- (layer_norm(y) * norm + norm_bias + (r . (k' * r_k)) v) * g, the norm over the head.
// Grid (heads or fewer, rows); 16-byte loads.
#version 460
#extension GL_GOOGLE_include_directive : require
layout(local_size_x_id = 0) in;
#include "reduce.glsl"
#include "rows.glsl"
#include "params_linear_attention.h"

layout(push_constant, scalar) uniform Push { Rwkv7OutputPush p; };
#include "linear_attention/rwkv7_values.glsl"

float sum4(vec4 v) { return (v.x + v.y) + (v.z + v.w); }

void main() {
  const uint t = gl_WorkGroupID.y;
  if (t >= step_rows(p.step)) return;
  const uint64_t y = p.y + uint64_t(t) * (4 * p.y_stride);
  const uint lane = 16 * gl_LocalInvocationIndex, stride = 16 * gl_WorkGroupSize.x;
  const float part = 1 / float(p.head_dim);
  for (uint head = gl_WorkGroupID.x; head < p.heads; head += gl_NumWorkGroups.x) {
    const uint begin = 4 * head * p.head_dim, end = begin + 4 * p.head_dim;
    float sum = 0, bonus = 0;
    for (uint o = begin + lane; o < end; o += stride) {
      const vec4 k = load_f32x4(plane_row(kRwkv7K, t), o);
      const vec4 rate = sigmoid(load_f32x4(plane_row(kRwkv7A, t), o) + load_f32x4(p.a0, o));
      const vec4 key = k + k * (rate - 1) * load_f32x4(p.k_a, o);
      bonus += sum4(load_f32x4(plane_row(kRwkv7R, t), o) * key * load_f32x4(p.r_k, o));
      sum += sum4(load_f32x4(y, o));
    }
    bonus = workgroup_sum(bonus);
    const float mean = workgroup_sum(sum) * part;
    float squares = 0;
    for (uint o = begin + lane; o < end; o += stride) {
      const vec4 d = load_f32x4(y, o) - mean;
      squares += sum4(d * d);
    }
    const float scale = inversesqrt(workgroup_sum(squares) * part + p.eps);
    for (uint o = begin + lane; o < end; o += stride) {
      const vec4 n = (load_f32x4(y, o) - mean) * scale * load_f32x4(p.norm, o) + load_f32x4(p.norm_bias, o);
      const uint c = o / 4;
      const vec4 v = vec4(value_of(t, c), value_of(t, c + 1), value_of(t, c + 2), value_of(t, c + 3));
      store_f32x4(y, o, (n + bonus * v) * load_f32x4(plane_row(kRwkv7G, t), o));
    }
  }
}
