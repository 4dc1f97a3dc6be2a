// The keys of one layer in a page, rotated by `delta` positions more, into another page: grid (KV heads, tokens), a team of
// TEAM lanes, eight dims a lane and round. What is not rotated is written as it was.
#version 460
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
#extension GL_KHR_shader_subgroup_basic : require
#extension GL_KHR_shader_subgroup_shuffle : require
layout(local_size_x_id = 0) in;  // TEAM, or more: the rest is idle
layout(constant_id = 3) const uint TEAM = 8;  // a power of two, at most a subgroup
layout(constant_id = 4) const uint HEAD_DIM = 64;
layout(constant_id = 5) const uint VALUE_DIM = 64;
layout(constant_id = 6) const uint FIRST_DIM = 0;  // of those that are rotated
layout(constant_id = 7) const uint ROPE_DIMS = 64;
layout(constant_id = 8) const uint PAIRING = 1;
layout(constant_id = 9) const uint KV_TYPE = 0;
const uint kRounds = ((HEAD_DIM + 7) / 8 + TEAM - 1) / TEAM;
#include "attention/kv_store.glsl"
#include "params_rotate_keys.h"
#include "rope/rotation.glsl"

layout(push_constant, scalar) uniform Push { RotateKeysPush p; };

const uint kHalves = 1, kHalf = ROPE_DIMS / 2;

float key1(KvPart part, uint token, uint dim) {
  return kv_load4(p.source, part, token, dim / 4)[dim % 4] * kv_scale(p.source, part, token);
}

float rotated1(KvPart part, uint token, uint dim) {
  const float v = key1(part, token, dim);
  if (dim < FIRST_DIM || dim >= FIRST_DIM + ROPE_DIMS) return v;
  const uint d = dim - FIRST_DIM;
  const bool first = PAIRING == kHalves ? d < kHalf : (d & 1) == 0;
  const uint pair = PAIRING == kHalves ? d % kHalf : d / 2;
  const uint other = PAIRING == kHalves ? (first ? d + kHalf : d - kHalf) : d ^ 1u;
  const vec2 cs = cos_sin(p.delta * turns_per_position(load_f32(p.frequencies, 4 * pair)));
  const float partner = key1(part, token, FIRST_DIM + other);
  return v * cs.x + (first ? -partner : partner) * cs.y;
}

void main() {
  if (gl_LocalInvocationIndex >= TEAM) return;
  const uint token = gl_WorkGroupID.y, lane = gl_LocalInvocationIndex;
  KvAddress kv;
  kv.layer_offset = p.layer_offset;
  kv.value_offset = p.value_offset;
  const KvPart part = kv_part(kv, gl_WorkGroupID.x, false);
  [[unroll]] for (uint i = 0; i < 2 * kRounds; ++i) {
    const uint quad = quad_of(lane, i);
    v[i] = vec4(0);
    if (quad >= HEAD_DIM / 4) continue;
    for (uint e = 0; e < 4; ++e) v[i][e] = rotated1(part, token, 4 * quad + e);
  }
  kv_store(p.target, part, token, lane, true);
}
