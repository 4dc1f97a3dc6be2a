// y = rms_norm(x) * weight * silu(gate), the norm over each head of a row. Grid (heads or fewer, rows); 16-byte loads. y may
// be x: an invocation writes what it alone reads after the reduction.
#version 460
#extension GL_GOOGLE_include_directive : require
layout(local_size_x_id = 0) in;
#include "activation.glsl"
#include "reduce.glsl"
#include "rows.glsl"
#include "params_linear_attention.h"

layout(push_constant, scalar) uniform Push { GatedNormPush p; };

void main() {
  const uint t = gl_WorkGroupID.y;
  if (t >= step_rows(p.step)) return;
  const uint64_t x = p.x + uint64_t(t) * (4 * p.x_stride);
  const uint64_t gate = p.gate + uint64_t(t) * (4 * p.gate_stride);
  const uint64_t y = p.y + uint64_t(t) * (4 * p.y_stride);
  const uint lane = 16 * gl_LocalInvocationIndex, stride = 16 * gl_WorkGroupSize.x;
  for (uint head = gl_WorkGroupID.x; head < p.heads; head += gl_NumWorkGroups.x) {
    const uint begin = 4 * head * p.dim;
    vec4 squares = vec4(0);
    for (uint o = lane; o < 4 * p.dim; o += stride) {
      const vec4 v = load_f32x4(x, begin + o);
      squares += v * v;
    }
    const float sum = workgroup_sum((squares.x + squares.y) + (squares.z + squares.w));
    const float scale = inversesqrt(sum / float(p.dim) + p.eps);
    for (uint o = lane; o < 4 * p.dim; o += stride) {
      const vec4 n = load_f32x4(x, begin + o) * scale * load_f32x4(p.weight, o);
      store_f32x4(y, begin + o, n * activate4(kActivationSilu, load_f32x4(gate, begin + o)));
    }
  }
}
