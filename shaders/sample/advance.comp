// Advances the state of every run by its rows, and says in its record that nothing was sampled. One workgroup.
#version 460
#extension GL_GOOGLE_include_directive : require
layout(local_size_x_id = 0) in;
layout(constant_id = 3) const uint RECORDS = 1;
#include "sample/advance.glsl"
#include "params_sample.h"

layout(push_constant, scalar) uniform Push { SamplePush p; };

void main() {
  const uint runs = min(step_runs(p.step), p.max_runs);
  for (uint r = gl_LocalInvocationIndex; r < runs; r += gl_WorkGroupSize.x) {
    const Run run = step_run(p.step, r);
    if (run.slot >= p.slots) continue;
    const uint position = advanced(StatesRef(p.states).v[run.slot], run.rows);
    StatesRef(p.states).v[run.slot].position = position;
    if (RECORDS != 0) RecordsRef(p.records).v[r] = SampleRecord(-1, 0, 0, position);
  }
}
