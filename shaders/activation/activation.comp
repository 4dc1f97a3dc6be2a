// y = f(x), or f(gate) * up where x holds gate [width] then up [width]. Grid (groups over a row, rows); 16-byte loads, but
// for the last width % 4 elements and for an `up` that begins off a multiple of 16 bytes. y may be x: an invocation reads
// what it overwrites before it writes.
#version 460
#extension GL_GOOGLE_include_directive : require
layout(local_size_x_id = 0) in;
layout(constant_id = 3) const uint KIND = 1;
layout(constant_id = 4) const uint GATED = 0;
layout(constant_id = 5) const uint ALIGNED = 1;  // width % 4 == 0
#include "activation.glsl"
#include "rows.glsl"
#include "params_activation.h"

layout(push_constant, scalar) uniform Push { ActivationPush p; };

void main() {
  const uint t = gl_WorkGroupID.y;
  if (t >= step_rows(p.step)) return;
  const uint64_t x = p.x + uint64_t(t) * (4 * p.x_stride);
  const uint64_t up = x + uint64_t(4 * p.width);
  const uint64_t y = p.y + uint64_t(t) * (4 * p.y_stride);
  const uint stride = 16 * gl_WorkGroupSize.x * gl_NumWorkGroups.x;
  for (uint o = 16 * gl_GlobalInvocationID.x; o < 4 * p.width; o += stride) {
    if (ALIGNED != 0) {
      vec4 v = activate4(KIND, load_f32x4(x, o));
      if (GATED != 0) v *= load_f32x4(up, o);
      store_f32x4(y, o, v);
    } else {
      for (uint e = o; e < min(o + 16, 4 * p.width); e += 4) {
        float v = activate(KIND, load_f32(x, e));
        if (GATED != 0) v *= load_f32(up, e);
        store_f32(y, e, v);
      }
    }
  }
}
