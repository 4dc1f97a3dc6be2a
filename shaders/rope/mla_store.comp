// Multi-head latent attention, between its projections and attention: the rotated part of every query goes behind its latent
// part, the latent (after its RMSNorm) and the rotated key that all heads share become a row of the page. A team of TEAM lanes
// does the row or one head at a time, eight dims a lane and round; grid (groups over row and heads, rows). Rows that are not
// valid write no keys.
#version 460
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
#extension GL_KHR_shader_subgroup_basic : require
#extension GL_KHR_shader_subgroup_shuffle : require
layout(local_size_x_id = 0) in;
layout(constant_id = 3) const uint TEAM = 8;  // a power of two, at most a subgroup
layout(constant_id = 4) const uint HEADS = 1;
layout(constant_id = 5) const uint LATENT = 32;    // a multiple of 4
layout(constant_id = 6) const uint ROPE_DIMS = 8;  // a multiple of 4
layout(constant_id = 7) const uint PAIRING = 2;
layout(constant_id = 8) const uint KV_TYPE = 0;
const uint HEAD_DIM = LATENT + ROPE_DIMS, VALUE_DIM = LATENT;
const uint kRounds = ((HEAD_DIM + 7) / 8 + TEAM - 1) / TEAM;
#include "attention/kv_store.glsl"
#include "params_mla.h"
#include "rope/rotation.glsl"

layout(push_constant, scalar) uniform Push { MlaStorePush p; };

const uint kHalves = 1;

// Dims [dim, dim + 4) of the ROPE_DIMS floats at x, rotated.
vec4 rotated4(uint64_t x, uint dim, uint position) {
  const vec4 v = load_f32x4(x, 4 * dim);
  vec4 partner, frequency, sign;
  if (PAIRING == kHalves && ROPE_DIMS % 8 != 0) {
    for (uint i = 0; i < 4; ++i) {
      const bool low = dim + i < ROPE_DIMS / 2;
      const uint other = low ? dim + i + ROPE_DIMS / 2 : dim + i - ROPE_DIMS / 2;
      partner[i] = load_f32(x, 4 * other);
      frequency[i] = load_f32(p.frequencies, 4 * min(dim + i, other));
      sign[i] = low ? -1 : 1;
    }
  } else if (PAIRING == kHalves) {
    const bool low = dim < ROPE_DIMS / 2;
    const uint pair = low ? dim : dim - ROPE_DIMS / 2;
    partner = load_f32x4(x, 4 * (low ? dim + ROPE_DIMS / 2 : pair));
    frequency = load_f32x4(p.frequencies, 4 * pair);
    sign = vec4(low ? -1 : 1);
  } else {
    partner = v.yxwz;
    frequency = vec4(load_f32(p.frequencies, 2 * dim), 0, load_f32(p.frequencies, 2 * dim + 4), 0).xxzz;
    sign = vec4(-1, 1, -1, 1);
  }
  vec4 result;
  for (uint i = 0; i < 4; ++i) {
    const vec2 cs = cos_sin(position * turns_per_position(frequency[i])) * p.magnitude;
    result[i] = v[i] * cs.x + sign[i] * partner[i] * cs.y;
  }
  return result;
}

void store_row(uint64_t x, Row row, uint lane) {
  float squares = 0;
  for (uint i = lane; i < LATENT / 4; i += TEAM) {
    const vec4 l = load_f32x4(x, 16 * i);
    squares += dot(l, l);
  }
  const float scale = inversesqrt(team_sum(squares) / float(LATENT) + p.eps);
  [[unroll]] for (uint i = 0; i < 2 * kRounds; ++i) {
    const uint quad = quad_of(lane, i);
    v[i] = vec4(0);
    if (quad < LATENT / 4) v[i] = load_f32x4(x, 16 * quad) * scale * load_f32x4(p.norm, 16 * quad);
    else if (quad < HEAD_DIM / 4) v[i] = rotated4(x + uint64_t(4 * LATENT), 4 * quad - LATENT, row.position);
  }
  const bool write = row.valid != 0 && row.kv_index <= kv_last_index(p.kv);
  kv_store(kv_page(p.kv, row.slot, row.kv_index / kPageTokens), kv_part(p.kv, 0, false), row.kv_index % kPageTokens, lane, write);
}

void main() {
  const uint t = gl_WorkGroupID.y;
  if (t >= step_rows(p.step)) return;
  const Row row = step_row(p.step, t);
  const uint teams = gl_WorkGroupSize.x / TEAM;
  const uint team = gl_SubgroupID * (gl_SubgroupSize / TEAM) + gl_SubgroupInvocationID / TEAM;
  const uint lane = gl_SubgroupInvocationID % TEAM;
  for (uint unit = gl_WorkGroupID.x * teams + team; unit < 1 + HEADS; unit += gl_NumWorkGroups.x * teams) {
    if (unit == 0) {
      store_row(p.latents + uint64_t(t) * uint64_t(4 * p.latents_stride), row, lane);
      continue;
    }
    const uint head = unit - 1;
    const uint64_t from = p.queries + uint64_t(t) * uint64_t(4 * p.queries_stride) + uint64_t(4 * (head * (p.nope + ROPE_DIMS) + p.nope));
    const uint64_t to = p.q + uint64_t(t) * uint64_t(4 * p.q_stride);
    for (uint i = lane; i < ROPE_DIMS / 4; i += TEAM)
      store_f32x4(to, 4 * (head * HEAD_DIM + LATENT) + 16 * i, rotated4(from, 4 * i, row.position));
  }
}
