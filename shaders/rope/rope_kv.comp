// Between the q,k,v projection and attention: q/k norm, RoPE, q's temperature, q to its buffer, K and V to their pages. A team of TEAM lanes
// does one head at a time, eight dims a lane and round; grid (groups over the heads of a row, rows). Rows that are not valid
// write no K and V. Pages are written as whole words: no invocation shares one.
#version 460
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
#extension GL_KHR_shader_subgroup_shuffle : require
layout(local_size_x_id = 0) in;
layout(constant_id = 3) const uint SUBGROUPS = 1;
layout(constant_id = 4) const uint TEAM = 8;  // a power of two, at most a subgroup
layout(constant_id = 5) const uint HEADS = 1;
layout(constant_id = 6) const uint KV_HEADS = 1;
layout(constant_id = 7) const uint HEAD_DIM = 64;
layout(constant_id = 8) const uint ROPE_DIMS = 64;
layout(constant_id = 9) const uint PAIRING = 1;
layout(constant_id = 10) const uint QK_NORM = 0;
layout(constant_id = 11) const uint KV_TYPE = 0;
layout(constant_id = 12) const uint NORM_FLAGS = 0;
const uint VALUE_DIM = HEAD_DIM;
const uint kRounds = ((HEAD_DIM + 7) / 8 + TEAM - 1) / TEAM;
#include "attention/kv_store.glsl"
#include "params_rope.h"
#include "reduce.glsl"
#include "rope/rotation.glsl"

layout(push_constant, scalar) uniform Push { RopeKvPush p; };

const uint kNone = 0, kHalves = 1, kInterleaved = 2;
const uint kPerHead = 1, kFull = 2, kEachHead = 3;
const uint kHalf = ROPE_DIMS / 2;
const uint kDims4 = HEAD_DIM / 4;
const bool kHasWeight = (NORM_FLAGS & kQkNormNoWeight) == 0;
const bool kAfterRope = (NORM_FLAGS & kQkNormAfterRope) != 0;

float clamped1(float v, uint when) { return (NORM_FLAGS & when) != 0 ? clamp(v, -p.clamp_at, p.clamp_at) : v; }
vec4 clamped4(vec4 v, uint when) { return (NORM_FLAGS & when) != 0 ? clamp(v, -p.clamp_at, p.clamp_at) : v; }

// Of q, k or v.
float load1(uint64_t x, uint offset) { return clamped1(load_f32(x, offset), kClampQkv); }
vec4 load4(uint64_t x, uint offset) { return clamped4(load_f32x4(x, offset), kClampQkv); }

struct HeadNorm {
  float mean, scale;      // x is normed to (x - mean) * scale
  uint64_t weight, bias;  // of the head
};

float weighted1(float v, HeadNorm n, uint dim) {
  if (kHasWeight) v *= load_f32(n.weight, 4 * dim);
  if ((NORM_FLAGS & kQkNormBias) != 0) v += load_f32(n.bias, 4 * dim);
  return v;
}
vec4 weighted4(vec4 v, HeadNorm n, uint dim) {
  if (kHasWeight) v *= load_f32x4(n.weight, 4 * dim);
  if ((NORM_FLAGS & kQkNormBias) != 0) v += load_f32x4(n.bias, 4 * dim);
  return v;
}

// x at one dim of a head, normed as far as that comes before the rotation.
float normed1(uint64_t x, HeadNorm n, uint dim) {
  const float v = load1(x, 4 * dim);
  if (QK_NORM == 0) return v;
  const float scaled = (v - n.mean) * n.scale;
  return kAfterRope ? scaled : clamped1(weighted1(scaled, n, dim), kClampNormed);
}
vec4 normed4(uint64_t x, HeadNorm n, uint dim) {
  const vec4 v = load4(x, 4 * dim);
  if (QK_NORM == 0) return v;
  const vec4 scaled = (v - n.mean) * n.scale;
  return kAfterRope ? scaled : clamped4(weighted4(scaled, n, dim), kClampNormed);
}

// Dims [dim, dim + 4) of a head after rotation.
vec4 rotated(uint64_t x, HeadNorm n, uint dim, uint position) {
  const vec4 v = normed4(x, n, dim);
  if (PAIRING == kNone || dim >= ROPE_DIMS) return kAfterRope ? weighted4(v, n, dim) : v;
  vec4 partner = v.yxwz, frequency;
  if (PAIRING == kInterleaved) {
    frequency.xy = load_f32(p.frequencies, 2 * dim).xx;
    frequency.zw = dim + 2 < ROPE_DIMS ? load_f32(p.frequencies, 2 * dim + 4).xx : vec2(0);
  } else if (ROPE_DIMS % 8 == 0) {
    const bool low = dim < kHalf;
    partner = normed4(x, n, low ? dim + kHalf : dim - kHalf);
    frequency = load_f32x4(p.frequencies, 4 * (low ? dim : dim - kHalf));
  } else {
    for (uint i = 0; i < 4; ++i) {
      const uint d = min(dim + i, ROPE_DIMS - 1);
      const bool low = d < kHalf;
      partner[i] = normed1(x, n, low ? d + kHalf : d - kHalf);
      frequency[i] = load_f32(p.frequencies, 4 * (low ? d : d - kHalf));
    }
  }
  vec4 result;
  for (uint i = 0; i < 4; ++i) {
    const vec2 cs = cos_sin(position * turns_per_position(frequency[i])) * p.magnitude;
    const bool first = PAIRING == kInterleaved ? (i & 1u) == 0 : dim + i < kHalf;
    const float turned = v[i] * cs.x + (first ? -partner[i] : partner[i]) * cs.y;
    result[i] = dim + i < ROPE_DIMS ? turned : v[i];
  }
  return kAfterRope ? weighted4(result, n, dim) : result;
}

float sum4(vec4 v) { return (v.x + v.y) + (v.z + v.w); }

// Mean and 1 / deviation over `width` floats at x, by the whole workgroup. RMS: the mean counts as 0.
vec2 full_moments(uint64_t x, uint width) {
  float mean = 0;
  if ((NORM_FLAGS & kQkNormLayer) != 0) {
    vec4 sum = vec4(0);
    for (uint d = 4 * gl_LocalInvocationIndex; d < width; d += 4 * gl_WorkGroupSize.x) sum += load4(x, 4 * d);
    mean = workgroup_sum(sum4(sum)) / float(width);
  }
  vec4 squares = vec4(0);
  for (uint d = 4 * gl_LocalInvocationIndex; d < width; d += 4 * gl_WorkGroupSize.x) {
    const vec4 v = load4(x, 4 * d) - mean;
    squares += v * v;
  }
  return vec2(mean, inversesqrt(workgroup_sum(sum4(squares)) / float(width) + p.eps));
}

// The same of one head, by its team.
vec2 head_moments(uint64_t x, uint lane, bool centred) {
  float mean = 0;
  if (centred) {
    vec4 sum = vec4(0);
    for (uint i = lane; i < kDims4; i += TEAM) sum += load4(x, 16 * i);
    mean = team_sum(sum4(sum)) / float(HEAD_DIM);
  }
  vec4 squares = vec4(0);
  for (uint i = lane; i < kDims4; i += TEAM) {
    const vec4 v = load4(x, 16 * i) - mean;
    squares += v * v;
  }
  return vec2(mean, inversesqrt(team_sum(sum4(squares)) / float(HEAD_DIM) + p.eps));
}

float temperature_at(uint position) {
  const float steps = floor((float(position) + 1.0) / p.temperature_floor);
  return steps > 0 ? 1.0 + p.temperature * log(1.0 + steps) : 1.0;
}

void main() {
  const uint t = gl_WorkGroupID.y;
  if (t >= step_rows(p.step)) return;
  const Row row = step_row(p.step, t);
  const uint64_t qkv = p.qkv + uint64_t(t) * (4 * p.qkv_stride);
  const uint64_t q_out = p.q + uint64_t(t) * (4 * p.q_stride);
  const bool write_kv = row.valid != 0 && row.kv_index <= kv_last_index(p.kv);
  const uint64_t page = kv_page(p.kv, row.slot, row.kv_index / kPageTokens);

  vec2 q_moments = vec2(0, 1), k_moments = vec2(0, 1);
  if (QK_NORM == kFull) {
    q_moments = full_moments(qkv + uint64_t(4 * p.q_offset), HEADS * HEAD_DIM);
    if ((NORM_FLAGS & kQueryAlone) == 0)
      k_moments = full_moments(qkv + uint64_t(4 * p.k_offset), KV_HEADS * HEAD_DIM);
  }

  const uint teams = gl_WorkGroupSize.x / TEAM;
  const uint team = gl_SubgroupID * (gl_SubgroupSize / TEAM) + gl_SubgroupInvocationID / TEAM;
  const uint lane = gl_SubgroupInvocationID % TEAM;
  const uint units = HEADS + ((NORM_FLAGS & kQueryAlone) != 0 ? 0 : 2 * KV_HEADS);
  for (uint unit = gl_WorkGroupID.x * teams + team; unit < units; unit += gl_NumWorkGroups.x * teams) {
    const bool is_q = unit < HEADS;
    const bool is_v = unit >= HEADS + KV_HEADS;
    const uint head = is_q ? unit : is_v ? unit - HEADS - KV_HEADS : unit - HEADS;
    const uint offset = (is_q ? p.q_offset : is_v ? p.v_offset : p.k_offset) + head * HEAD_DIM;
    const uint64_t x = qkv + uint64_t(4 * offset);
    vec2 moments = is_q ? q_moments : is_v ? vec2(0, 1) : k_moments;
    if (is_v ? (NORM_FLAGS & kValueNorm) != 0 : QK_NORM == kPerHead || QK_NORM == kEachHead)
      moments = head_moments(x, lane, !is_v && (NORM_FLAGS & kQkNormLayer) != 0);
    const bool own = QK_NORM != kPerHead;  // weights for each head
    const uint64_t weight = (is_q ? p.q_norm : p.k_norm) + uint64_t(own ? 4 * head * HEAD_DIM : 0);
    const uint64_t bias = weight + uint64_t(own ? 4 * (is_q ? HEADS : KV_HEADS) * HEAD_DIM : 4 * HEAD_DIM);
    const HeadNorm n = HeadNorm(moments.x, moments.y, weight, bias);
    [[unroll]] for (uint i = 0; i < 2 * kRounds; ++i) {
      const uint quad = quad_of(lane, i);
      v[i] = vec4(0);
      if (quad >= kDims4) continue;
      if (is_v)
        v[i] = clamped4(load4(x, 16 * quad) * moments.y, kClampNormed);
      else
        v[i] = rotated(x, n, 4 * quad, row.position);
      if (is_q && (NORM_FLAGS & kTemperature) != 0) v[i] *= temperature_at(row.position);
      if (is_q) store_f32x4(q_out, 4 * head * HEAD_DIM + 16 * quad, v[i]);
    }
    if (!is_q) kv_store(page, kv_part(p.kv, head, is_v), row.kv_index % kPageTokens, lane, write_kv);
  }
}
