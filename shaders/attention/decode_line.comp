// Attention of few rows on drivers that run a subgroup as the elements of CPU vectors (lavapipe). Lane i holds dim d + i of a
// key or a query, then score k + i. A workgroup (one subgroup) does KEYS keys for ITEMS heads of one KV head and one row; grid
// (parts of the context, KV heads x groups of heads, rows). As in matmul/line.comp there is no loop and no branch before the
// end, and what addresses are made of passes through the push constant `ramp`, so that the driver loads once for all lanes. Keys
// that the row does not see are read as a neighbour and weigh nothing; merge.comp adds up the parts.
#version 460
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
#extension GL_KHR_shader_subgroup_basic : require
#extension GL_KHR_shader_subgroup_arithmetic : require
#extension GL_KHR_shader_subgroup_ballot : require
#extension GL_KHR_shader_subgroup_shuffle : require
layout(local_size_x_id = 0) in;
layout(constant_id = 3) const uint LANES = 8;  // a multiple of 4 that divides kPageTokens
layout(constant_id = 4) const uint HEAD_DIM = 64;
layout(constant_id = 5) const uint GROUP = 1;   // query heads of a KV head
layout(constant_id = 6) const uint ITEMS = 1;   // of them, computed together
layout(constant_id = 7) const uint KEYS = 64;   // a multiple of kPageTokens
layout(constant_id = 8) const uint SEGMENTS = 1;  // of the pool; 0: several
layout(constant_id = 9) const uint SPLIT = 0;
layout(constant_id = 10) const uint KV_TYPE = 0;
layout(constant_id = 11) const uint SCORES = 0;
layout(constant_id = 12) const uint VALUE_DIM = 64;
#include "attention/kv.glsl"
#include "attention/scores.glsl"
#include "params_attention.h"

layout(push_constant, scalar) uniform Push { AttentionLinePush all; };
#define p all.push

#define lane gl_SubgroupInvocationID
#include "lane_reduce.glsl"
#include "attention/kv_lanes.glsl"

const uint kVectors = (HEAD_DIM + LANES - 1) / LANES, kValueVectors = (VALUE_DIM + LANES - 1) / LANES;
const uint kBatches = KEYS / LANES;
const uint kHeadGroups = (GROUP + ITEMS - 1) / ITEMS;
const uint kPart = kPartialHeader + VALUE_DIM;
const uint kBlock = 4;  // vectors of dims whose sums are kept in registers together

// The same value, below 2^bits, as one that comes from push constants.
uint uniform_value(uint v, uint bits) {
  uint u = 0;
  [[unroll]] for (uint b = 0; b < bits; b += 2) u |= all.ramp[(v >> b) & 3] << b;
  return u;
}
uint64_t uniform_address(uint64_t a) {
  const uvec2 halves = uvec2(uint(a), uint(a >> 32));
  return uint64_t(uniform_value(halves.x, 32)) | (uint64_t(uniform_value(halves.y, 20)) << 32);
}

float q[ITEMS * kVectors];
float score[ITEMS * kBatches];  // lane i: key LANES * batch + i; then the weights
float best[ITEMS], total[ITEMS], slope[ITEMS];
uint64_t page[KEYS / kPageTokens];
uint token[KEYS];

void main() {
  const uint t = uniform_value(gl_WorkGroupID.z, 6);
  const uint group = uniform_value(gl_WorkGroupID.y, 16);
  const uint kv_head = group / kHeadGroups;
  const uint first_head = kv_head * GROUP + group % kHeadGroups * ITEMS, end_head = (kv_head + 1) * GROUP;
  const bool used = t < step_rows(p.step);
  const Row row = step_row(p.step, t);
  const uint slot = uniform_value(used ? row.slot : 0, 12);
  const uint last = uniform_value(used ? min(row.kv_index, kv_last_index(p.kv)) : 0, 28);
  const uint first = first_key(last, p.window, p.chunk);
  const uint begin = first / KEYS * KEYS + uniform_value(gl_WorkGroupID.x, 20) * KEYS;
  const bool valid = used && row.valid != 0;

  uint64_t base = 0;
  if (SEGMENTS == 1) base = uniform_address(load_address(p.kv.segments, 0));
  [[unroll]] for (uint i = 0; i < KEYS / kPageTokens; ++i) {
    const uint index = clamp(begin / kPageTokens + i, first / kPageTokens, last / kPageTokens);
    const uint at = slot * p.kv.pages_per_slot + min(index, p.kv.pages_per_slot - 1);
    const uint number = uniform_value(min(load_u32(p.kv.pages, 4 * at), p.kv.n_pages - 1), 24);
    const uint segment = SEGMENTS == 1 ? 0 : number / p.kv.pages_per_segment;
    if (SEGMENTS != 1) base = uniform_address(load_address(p.kv.segments, 8 * segment));
    page[i] = base + uint64_t(number - segment * p.kv.pages_per_segment) * uint64_t(p.kv.page_bytes);
  }
  [[unroll]] for (uint j = 0; j < KEYS; ++j) token[j] = clamp(begin + j, first, last) % kPageTokens;

  const uint64_t q_row = p.q + uint64_t(t) * uint64_t(4 * p.q_stride);
  [[unroll]] for (uint g = 0; g < ITEMS; ++g) {
    const uint head = min(first_head + g, end_head - 1);
    slope[g] = alibi_slope(head, p.alibi, p.scale);
    [[unroll]] for (uint i = 0; i < kVectors; ++i)
      q[g * kVectors + i] = lane_f32(q_row + uint64_t(4 * (head * HEAD_DIM + i * LANES)), HEAD_DIM - i * LANES) * (p.scale * kKvQueryUnit);
  }

  const KvPart keys = kv_part(p.kv, kv_head, false), values = kv_part(p.kv, kv_head, true);
  [[unroll]] for (uint b = 0; b < kBatches; ++b) {
    float sum[ITEMS * LANES];
    [[unroll]] for (uint i = 0; i < ITEMS * LANES; ++i) sum[i] = 0;
    [[unroll]] for (uint u = 0; u < LANES; ++u) {
      const uint j = b * LANES + u;
      [[unroll]] for (uint i = 0; i < kVectors; ++i) {
        const float k = kv_lane(page[j / kPageTokens], keys, token[j], i);
        [[unroll]] for (uint g = 0; g < ITEMS; ++g) sum[g * LANES + u] = fma(k, q[g * kVectors + i], sum[g * LANES + u]);
      }
      const float scale = kv_key_scale(page[j / kPageTokens], keys, token[j]);
      [[unroll]] for (uint g = 0; g < ITEMS; ++g) sum[g * LANES + u] *= scale;
    }
    const uint j = begin + b * LANES + lane;
    const bool seen = valid && j >= first && j <= last;
    [[unroll]] for (uint g = 0; g < ITEMS; ++g) {
      float v[LANES];
      [[unroll]] for (uint i = 0; i < LANES; ++i) v[i] = sum[g * LANES + i];
      score[g * kBatches + b] = seen ? biased(capped(reduce(v), p.softcap), slope[g], j, last) : kNoScore;
    }
  }

  [[unroll]] for (uint g = 0; g < ITEMS; ++g) {
    float most = kNoScore, weights = 0;
    [[unroll]] for (uint b = 0; b < kBatches; ++b) most = max(most, score[g * kBatches + b]);
    best[g] = subgroupMax(most);
    [[unroll]] for (uint b = 0; b < kBatches; ++b) {
      const float s = score[g * kBatches + b];
      const float weight = s > kNoScore ? exp(s - best[g]) : 0;
      weights += weight;
      score[g * kBatches + b] = weight;
    }
    total[g] = subgroupAdd(weights);
  }

  [[unroll]] for (uint block = 0; block < kValueVectors; block += kBlock) {
    float acc[ITEMS * kBlock];
    [[unroll]] for (uint i = 0; i < ITEMS * kBlock; ++i) acc[i] = 0;
    [[unroll]] for (uint j = 0; j < KEYS; ++j) {
      const float scale = kv_scale(page[j / kPageTokens], values, token[j]);
      float weight[ITEMS];
      [[unroll]] for (uint g = 0; g < ITEMS; ++g)
        weight[g] = subgroupBroadcast(score[g * kBatches + j / LANES], j % LANES) * scale;
      [[unroll]] for (uint i = 0; i < kBlock; ++i) {
        if (block + i >= kValueVectors) break;
        const float v = kv_lane(page[j / kPageTokens], values, token[j], block + i);
        [[unroll]] for (uint g = 0; g < ITEMS; ++g) acc[g * kBlock + i] = fma(weight[g], v, acc[g * kBlock + i]);
      }
    }
    [[unroll]] for (uint g = 0; g < ITEMS; ++g) {
      const uint head = first_head + g;
      const float factor = SPLIT != 0 ? 1.0 : total[g] > 0 ? 1.0 / with_sink(total[g], best[g], p.sinks, min(head, end_head - 1)) : 0;
      const uint64_t part =
          p.scratch + uint64_t((t * (gl_NumWorkGroups.y / kHeadGroups * GROUP) + head) * p.splits + gl_WorkGroupID.x) * (4 * kPart);
      const uint64_t to = SPLIT != 0 ? part + uint64_t(4 * kPartialHeader)
                                     : p.y + uint64_t(t) * uint64_t(4 * p.y_stride) + uint64_t(4 * head * VALUE_DIM);
      [[unroll]] for (uint i = 0; i < kBlock; ++i) {
        const uint dim = (block + i) * LANES + lane;
        if (used && head < end_head && dim < VALUE_DIM)
          store_f32(to, 4 * dim, total[g] > 0 ? acc[g * kBlock + i] * factor : 0);
      }
      if (SPLIT != 0 && block == 0 && used && head < end_head && lane == 0) store_f32x4(part, 0, vec4(best[g], total[g], 0, 0));
    }
  }
}
