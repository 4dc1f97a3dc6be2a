// h *= sigmoid(gate . x), one row a workgroup.
#version 460
#extension GL_GOOGLE_include_directive : require
layout(local_size_x_id = 0) in;
#include "load.glsl"
#include "params_moe.h"
#include "reduce.glsl"
#include "rows.glsl"
layout(push_constant, scalar) uniform Push { MoeSharedGatePush p; };

void main() {
  const uint t = gl_WorkGroupID.x;
  if (t >= step_rows(p.step)) return;
  const uint64_t x = p.x + uint64_t(t) * uint64_t(4 * p.x_stride), h = p.h + uint64_t(t) * uint64_t(4 * p.h_stride);
  float dot_ = 0;
  for (uint i = gl_LocalInvocationIndex; i < p.cols; i += gl_WorkGroupSize.x) dot_ += load_f32(x, 4 * i) * load_f32(p.gate, 4 * i);
  const float factor = 1 / (1 + exp(-workgroup_sum(dot_)));
  for (uint i = gl_LocalInvocationIndex; i < p.width; i += gl_WorkGroupSize.x) store_f32(h, 4 * i, factor * load_f32(h, 4 * i));
}
