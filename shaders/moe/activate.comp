// y = activation of the products of each pair's expert, with its biases. Grid (groups over a row, pairs). y may be x: an invocation
// reads what it overwrites before it writes, and nobody else's.
#version 460
#extension GL_GOOGLE_include_directive : require
layout(local_size_x_id = 0) in;
layout(constant_id = 3) const uint FLAGS = 0;
layout(constant_id = 4) const uint ACTIVATION = 1;
#include "load.glsl"
#include "params_moe.h"
layout(push_constant, scalar) uniform Push { MoeActivatePush p; };
#include "moe/expert.glsl"
#include "moe/routes.glsl"

void main() {
  const uint pair = gl_WorkGroupID.y;
  if (pair >= used_tokens() * p.chosen) return;
  const uint64_t x = p.x + uint64_t(pair) * uint64_t(4 * p.x_stride), y = p.y + uint64_t(pair) * uint64_t(4 * p.y_stride);
  const float weight = (FLAGS & kMoeWeighted) != 0 ? pair_weight(pair) : 1;
  const uint64_t slab = (FLAGS & kMoeBias) != 0 ? slab_of(pair_expert(pair)) : 0;
  for (uint i = gl_GlobalInvocationID.x; i < p.width; i += gl_WorkGroupSize.x * gl_NumWorkGroups.x) {
    float g = load_f32(x, 4 * i) * weight, u = 0;
    if ((FLAGS & kMoeGated) != 0) u = load_f32(x, 4 * (p.width + i)) * weight;
    if ((FLAGS & kMoeBias) != 0) {
      g += load_f32(slab + uint64_t(p.bias), 4 * i);
      if ((FLAGS & kMoeGated) != 0) u += load_f32(slab + uint64_t(p.up_bias), 4 * i);
    }
    store_f32(y, 4 * i, expert_activation(g, u));
  }
}
