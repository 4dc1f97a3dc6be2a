// y = residual + factor * the weighted sum of what a row's experts gave (rows of pairs), with their biases. Grid (groups over a
// row, rows of the step). y may be the residual.
#version 460
#extension GL_GOOGLE_include_directive : require
layout(local_size_x_id = 0) in;
layout(constant_id = 3) const uint FLAGS = 0;
#include "load.glsl"
#include "params_moe.h"
layout(push_constant, scalar) uniform Push { MoeCombinePush p; };
#include "moe/routes.glsl"

void main() {
  const uint t = gl_WorkGroupID.y;
  if (t >= used_tokens()) return;
  const uint64_t x = p.x + uint64_t(t * p.chosen) * uint64_t(4 * p.x_stride);
  for (uint i = gl_GlobalInvocationID.x; i < p.width; i += gl_WorkGroupSize.x * gl_NumWorkGroups.x) {
    float sum = 0;
    for (uint j = 0; j < p.chosen; ++j) {
      const uint pair = t * p.chosen + j;
      float v = load_f32(x + uint64_t(j) * uint64_t(4 * p.x_stride), 4 * i);
      if ((FLAGS & kMoeBias) != 0) v += load_f32(slab_of(pair_expert(pair)) + uint64_t(p.bias), 4 * i);
      sum += (FLAGS & kMoeWeighted) != 0 ? v : pair_weight(pair) * v;
    }
    sum *= p.factor;
    if ((FLAGS & kMoeResidual) != 0) sum += load_f32(p.residual + uint64_t(t) * uint64_t(4 * p.residual_stride), 4 * i);
    store_f32(p.y + uint64_t(t) * uint64_t(4 * p.y_stride), 4 * i, sum);
  }
}
