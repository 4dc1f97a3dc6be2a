// RWKV's token shift: y_m = x_t + (x_{t-1} - x_t) * mix_m for each of MIXES vectors, where x_{-1} is the state, and the
// state becomes the run's last row. Grid (groups over a row, rows); 16-byte loads, widths are multiples of 4.
#version 460
#extension GL_GOOGLE_include_directive : require
layout(local_size_x_id = 0) in;
layout(constant_id = 3) const uint MIXES = 1;
#include "state.glsl"
#include "params_linear_attention.h"

layout(push_constant, scalar) uniform Push { TokenShiftPush p; };

void main() {
  const uint t = gl_WorkGroupID.y;
  if (t >= step_rows(p.step)) return;
  const Run run = step_run(p.step, min(step_row(p.step, t).run, kMaxRuns - 1));
  const uint index = t - min(run.first_row, t);
  const bool last = index + 1 == run.rows && state_writes(run);
  const bool known = index > 0 || state_reads(run);
  const uint64_t row = p.x + uint64_t(t) * (4 * p.x_stride);
  const uint64_t before = index > 0 ? row - uint64_t(4 * p.x_stride) : state_in(p.state, run);
  const uint64_t after = state_out(p.state, run);
  const uint64_t y = p.y + uint64_t(t) * (4 * p.y_stride);
  const uint stride = 16 * gl_WorkGroupSize.x * gl_NumWorkGroups.x;
  for (uint o = 16 * gl_GlobalInvocationID.x; o < 4 * p.width; o += stride) {
    const vec4 current = load_f32x4(row, o);
    const vec4 change = (known ? load_f32x4(before, o) : vec4(0)) - current;
    if (last) store_f32x4(after, o, current);
    for (uint m = 0; m < MIXES; ++m)
      store_f32x4(y + uint64_t(m) * p.plane_floats * 4, o, current + change * load_f32x4(p.mixes[m], o));
  }
}
