// Attention of single rows, split over the context. Grid (KV heads x groups of query heads, splits, rows). A team of TEAM
// lanes holds QUERIES query heads of one KV head, LANE_DIMS4 * 4 dims a lane, and walks the split's keys four at a time (never
// across a page) with its own running softmax; teams are merged at the end, splits by merge.comp. K and V are read once, 8
// or 16 bytes a lane side by side. Keys outside the window or beyond the row are read as a neighbour and weigh nothing.
#version 460
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
#extension GL_KHR_shader_subgroup_basic : require
#extension GL_KHR_shader_subgroup_shuffle : require
layout(local_size_x_id = 0) in;
layout(constant_id = 3) const uint SUBGROUPS = 1;
layout(constant_id = 4) const uint SUBGROUP_SIZE = 8;
layout(constant_id = 5) const uint TEAM = 8;        // a power of two, at most a subgroup
layout(constant_id = 6) const uint LANE_DIMS4 = 2;  // TEAM * LANE_DIMS4 * 4 >= HEAD_DIM
layout(constant_id = 7) const uint HEAD_DIM = 64;
layout(constant_id = 8) const uint GROUP = 1;    // query heads of a KV head
layout(constant_id = 9) const uint QUERIES = 1;  // of them, computed together
layout(constant_id = 10) const uint SPLITS = 1;
layout(constant_id = 11) const uint KV_TYPE = 0;
layout(constant_id = 12) const uint SOFTCAP = 0;
#include "attention/kv.glsl"
#include "attention/scores.glsl"
#include "params_attention.h"

layout(push_constant, scalar) uniform Push { AttentionPush p; };

const uint kKeys = 4;  // a team's step; divides kPageTokens
const uint kDims4 = HEAD_DIM / 4;
const uint kTeamsPerSubgroup = SUBGROUP_SIZE / TEAM;
const uint kTeams = SUBGROUPS * kTeamsPerSubgroup;
const uint kHeadGroups = (GROUP + QUERIES - 1) / QUERIES;
const bool kExact = TEAM * LANE_DIMS4 == kDims4;
const uint kPart = kPartialHeader + HEAD_DIM;

shared float merge_buffer[SUBGROUPS == 1 ? 1 : SUBGROUPS * kPart];

vec4 q[QUERIES * LANE_DIMS4];
vec4 acc[QUERIES * LANE_DIMS4];
float highest[QUERIES];
float total[QUERIES];

bool has_dims(uint lane, uint i) { return kExact || lane + i * TEAM < kDims4; }

// Keys [j0, j0 + kKeys) of one page, those outside [first, last] masked.
void attend(uint64_t page, uint head_offset, uint j0, uint first, uint last, uint lane) {
  float score[QUERIES * kKeys];
  uint offset[kKeys];
  [[unroll]] for (uint i = 0; i < QUERIES * kKeys; ++i) score[i] = 0;
  [[unroll]] for (uint u = 0; u < kKeys; ++u) {
    const uint j = clamp(j0 + u, first, last);
    offset[u] = head_offset + (j % kPageTokens) * kKvTokenBytes + 4 * kKvElementBytes * lane;
    [[unroll]] for (uint i = 0; i < LANE_DIMS4; ++i) {
      const vec4 k = has_dims(lane, i) ? kv_load4(page, p.kv.layer_offset + offset[u] + 4 * kKvElementBytes * TEAM * i)
                                       : vec4(0);
      [[unroll]] for (uint g = 0; g < QUERIES; ++g) score[g * kKeys + u] += dot(q[g * LANE_DIMS4 + i], k);
    }
  }
  [[unroll]] for (uint g = 0; g < QUERIES; ++g) {
    float best = highest[g];
    [[unroll]] for (uint u = 0; u < kKeys; ++u) {
      float s = score[g * kKeys + u];
      [[unroll]] for (uint mask = 1; mask < TEAM; mask <<= 1) s += subgroupShuffleXor(s, mask);
      s = capped(s, p.softcap);
      s = j0 + u >= first && j0 + u <= last ? s : kNoScore;
      best = max(best, s);
      score[g * kKeys + u] = s;
    }
    const float rescale = exp(highest[g] - best);
    highest[g] = best;
    total[g] *= rescale;
    [[unroll]] for (uint i = 0; i < LANE_DIMS4; ++i) acc[g * LANE_DIMS4 + i] *= rescale;
    [[unroll]] for (uint u = 0; u < kKeys; ++u) {
      const float s = score[g * kKeys + u];
      const float weight = s > kNoScore ? exp(s - best) : 0;
      score[g * kKeys + u] = weight;
      total[g] += weight;
    }
  }
  [[unroll]] for (uint u = 0; u < kKeys; ++u) {
    [[unroll]] for (uint i = 0; i < LANE_DIMS4; ++i) {
      const vec4 v = has_dims(lane, i) ? kv_load4(page, p.kv.value_offset + offset[u] + 4 * kKvElementBytes * TEAM * i)
                                       : vec4(0);
      [[unroll]] for (uint g = 0; g < QUERIES; ++g) acc[g * LANE_DIMS4 + i] += score[g * kKeys + u] * v;
    }
  }
}

// Merges the teams of a subgroup: every lane ends with the sum over its dims.
void merge_teams() {
  [[unroll]] for (uint mask = TEAM; mask < SUBGROUP_SIZE; mask <<= 1) {
    [[unroll]] for (uint g = 0; g < QUERIES; ++g) {
      const float other = subgroupShuffleXor(highest[g], mask);
      const float best = max(highest[g], other);
      const float mine = exp(highest[g] - best), theirs = exp(other - best);
      total[g] = total[g] * mine + subgroupShuffleXor(total[g], mask) * theirs;
      [[unroll]] for (uint i = 0; i < LANE_DIMS4; ++i) {
        const vec4 v = acc[g * LANE_DIMS4 + i];
        acc[g * LANE_DIMS4 + i] = v * mine + subgroupShuffleXor(v, mask) * theirs;
      }
      highest[g] = best;
    }
  }
}

uint64_t partial_address(uint t, uint head, uint split) {
  const uint heads = gl_NumWorkGroups.x / kHeadGroups * GROUP;
  return p.scratch + uint64_t((t * heads + head) * SPLITS + split) * (4 * kPart);
}

void write4(uint t, uint head, uint split, uint dim4, vec4 sum, float weight) {
  if (SPLITS == 1)
    store_f32x4(p.y + uint64_t(t) * (4 * p.y_stride), 4 * head * HEAD_DIM + 16 * dim4,
                weight > 0 ? sum / weight : vec4(0));
  else
    store_f32x4(partial_address(t, head, split), 4 * kPartialHeader + 16 * dim4, sum);
}

void write_header(uint t, uint head, uint split, float best, float weight) {
  if (SPLITS > 1) store_f32x4(partial_address(t, head, split), 0, vec4(best, weight, 0, 0));
}

// One query head's result from all subgroups. Every invocation of the workgroup calls it.
void write_merged(uint t, uint head, uint split, uint g) {
  const uint lane = gl_SubgroupInvocationID;
  barrier();  // the reads of the head before this one's writes
  if (lane < TEAM) {
    [[unroll]] for (uint i = 0; i < LANE_DIMS4; ++i) {
      if (!has_dims(lane, i)) continue;
      [[unroll]] for (uint e = 0; e < 4; ++e)
        merge_buffer[gl_SubgroupID * kPart + kPartialHeader + 4 * (lane + i * TEAM) + e] = acc[g * LANE_DIMS4 + i][e];
    }
    merge_buffer[gl_SubgroupID * kPart] = highest[g];
    merge_buffer[gl_SubgroupID * kPart + 1] = total[g];
  }
  barrier();  // these writes before the reads below
  float best = kNoScore, weight = 0;
  for (uint s = 0; s < SUBGROUPS; ++s) best = max(best, merge_buffer[s * kPart]);
  for (uint s = 0; s < SUBGROUPS; ++s) weight += merge_buffer[s * kPart + 1] * exp(merge_buffer[s * kPart] - best);
  for (uint d = gl_LocalInvocationIndex; d < kDims4; d += gl_WorkGroupSize.x) {
    vec4 sum = vec4(0);
    for (uint s = 0; s < SUBGROUPS; ++s) {
      const uint at = s * kPart + kPartialHeader + 4 * d;
      sum += vec4(merge_buffer[at], merge_buffer[at + 1], merge_buffer[at + 2], merge_buffer[at + 3]) *
             exp(merge_buffer[s * kPart] - best);
    }
    write4(t, head, split, d, sum, weight);
  }
  if (gl_LocalInvocationIndex == 0) write_header(t, head, split, best, weight);
}

void main() {
  const uint t = gl_WorkGroupID.z, split = gl_WorkGroupID.y;
  if (t >= step_rows(p.step)) return;
  const uint kv_head = gl_WorkGroupID.x / kHeadGroups;
  const uint group_first = gl_WorkGroupID.x % kHeadGroups * QUERIES;  // within the KV head
  const uint queries = min(QUERIES, GROUP - group_first);
  const uint first_head = kv_head * GROUP + group_first;

  const Row row = step_row(p.step, t);
  const uint last = min(row.kv_index, kv_last_index(p.kv));
  const uint first = first_key(last, p.window);
  const uint first_chunk = first / kKeys;
  const uint chunks = row.valid != 0 ? last / kKeys - first_chunk + 1 : 0;
  const uint share = (chunks + SPLITS * kTeams - 1) / (SPLITS * kTeams) * kTeams;
  const uint begin = split * share, end = min(begin + share, chunks);
  if (SPLITS > 1 && begin >= end) {
    if (gl_LocalInvocationIndex < queries) write_header(t, first_head + gl_LocalInvocationIndex, split, kNoScore, 0);
    return;
  }

  const uint lane = gl_SubgroupInvocationID % TEAM;
  const uint64_t q_row = p.q + uint64_t(t) * (4 * p.q_stride);
  [[unroll]] for (uint g = 0; g < QUERIES; ++g) {
    highest[g] = kNoScore;
    total[g] = 0;
    [[unroll]] for (uint i = 0; i < LANE_DIMS4; ++i) {
      const uint head = first_head + min(g, queries - 1);
      q[g * LANE_DIMS4 + i] = has_dims(lane, i) ? load_f32x4(q_row, 4 * head * HEAD_DIM + 16 * (lane + i * TEAM)) * p.scale
                                                : vec4(0);
      acc[g * LANE_DIMS4 + i] = vec4(0);
    }
  }
  const uint team = gl_SubgroupID * kTeamsPerSubgroup + gl_SubgroupInvocationID / TEAM;
  for (uint c = begin + team; c < end; c += kTeams) {
    const uint j0 = (first_chunk + c) * kKeys;
    attend(kv_page(p.kv, row.slot, j0 / kPageTokens), kv_head * kKvHeadBytes, j0, first, last, lane);
  }

  merge_teams();
  if (SUBGROUPS > 1) {
    [[unroll]] for (uint g = 0; g < QUERIES; ++g)
      if (g < queries) write_merged(t, first_head + g, split, g);
    return;
  }
  if (gl_SubgroupInvocationID >= TEAM) return;
  [[unroll]] for (uint g = 0; g < QUERIES; ++g) {
    if (g >= queries) break;
    [[unroll]] for (uint i = 0; i < LANE_DIMS4; ++i)
      if (has_dims(lane, i)) write4(t, first_head + g, split, lane + i * TEAM, acc[g * LANE_DIMS4 + i], total[g]);
    if (lane == 0) write_header(t, first_head + g, split, highest[g], total[g]);
  }
}
