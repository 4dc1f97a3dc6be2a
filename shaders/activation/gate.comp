// y = a * sigmoid(gate), or residual + scale * that. Grid (groups over a row, rows); 16-byte loads, widths are multiples of
// 4. y may be a or the residual.
#version 460
#extension GL_GOOGLE_include_directive : require
layout(local_size_x_id = 0) in;
layout(constant_id = 3) const uint RESIDUAL = 0;
#include "rows.glsl"
#include "params_activation.h"

layout(push_constant, scalar) uniform Push { GatePush p; };

void main() {
  const uint t = gl_WorkGroupID.y;
  if (t >= step_rows(p.step)) return;
  const uint64_t a = p.a + uint64_t(t) * (4 * p.a_stride);
  const uint64_t gate = p.gate + uint64_t(t) * (4 * p.gate_stride);
  const uint64_t residual = p.residual + uint64_t(t) * (4 * p.residual_stride);
  const uint64_t y = p.y + uint64_t(t) * (4 * p.y_stride);
  const uint stride = 16 * gl_WorkGroupSize.x * gl_NumWorkGroups.x;
  for (uint o = 16 * gl_GlobalInvocationID.x; o < 4 * p.width; o += stride) {
    vec4 v = load_f32x4(a, o) / (1 + exp(-load_f32x4(gate, o)));
    if (RESIDUAL != 0) v = load_f32x4(residual, o) + p.residual_scale * v;
    store_f32x4(y, o, v);
  }
}
