// Attention of few rows, split over the context. Grid (KV heads, splits, tiles of ITEMS query items). A team of TEAM lanes
// holds the items of one KV head, LANE_DIMS4 * 4 dims a lane, and walks the split's keys KEYS at a time (never across a page)
// with its own running softmax; teams are merged at the end, splits by merge.comp. K and V are read once for all items, 8
// or 16 bytes a lane side by side. Keys outside an item's window or beyond its row are read as a neighbour and weigh nothing.
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
layout(constant_id = 8) const uint GROUP = 1;  // query heads of a KV head
layout(constant_id = 9) const uint ITEMS = 1;  // of a tile: heads of a row, or of rows of one run
layout(constant_id = 10) const uint SPLIT = 0;
layout(constant_id = 11) const uint KV_TYPE = 0;
layout(constant_id = 12) const uint SCORES = 0;
layout(constant_id = 13) const uint VALUE_DIM = 64;
layout(constant_id = 14) const uint KEYS = 4;  // a team's step; divides kPageTokens
#include "attention/kv.glsl"
#include "attention/scores.glsl"
#include "attention/tiles.glsl"
#include "params_attention.h"

layout(push_constant, scalar) uniform Push { AttentionPush p; };

const uint kDims4 = HEAD_DIM / 4, kValues4 = VALUE_DIM / 4;
const uint kLaneValues4 = (kValues4 + TEAM - 1) / TEAM;
const uint kTeamsPerSubgroup = SUBGROUP_SIZE / TEAM;
const uint kTeams = SUBGROUPS * kTeamsPerSubgroup;
const bool kExact = TEAM * LANE_DIMS4 == kDims4;
const bool kOneRow = GROUP % ITEMS == 0;  // the items of a tile see the same keys
const uint kPart = kPartialHeader + VALUE_DIM;

shared float merge_buffer[SUBGROUPS == 1 ? 1 : SUBGROUPS * kPart];

Item items[ITEMS];
vec4 q[ITEMS * LANE_DIMS4];
vec4 acc[ITEMS * kLaneValues4];
float slope[ITEMS];
float highest[ITEMS];
float total[ITEMS];

bool has_dims(uint lane, uint i) { return kExact || lane + i * TEAM < kDims4; }
bool has_values(uint lane, uint i) { return TEAM * kLaneValues4 == kValues4 || lane + i * TEAM < kValues4; }

// Keys [j0, j0 + KEYS) of one page; [first, last] is what any item sees.
void attend(uint64_t page, KvPart keys, KvPart values, uint j0, uint first, uint last, uint lane) {
  float score[ITEMS * KEYS];
  uint token[KEYS];
  [[unroll]] for (uint i = 0; i < ITEMS * KEYS; ++i) score[i] = 0;
  [[unroll]] for (uint u = 0; u < KEYS; ++u) {
    token[u] = clamp(j0 + u, first, last) % kPageTokens;
    [[unroll]] for (uint i = 0; i < LANE_DIMS4; ++i) {
      const vec4 k = has_dims(lane, i) ? kv_load4(page, keys, token[u], lane + TEAM * i) : vec4(0);
      [[unroll]] for (uint g = 0; g < ITEMS; ++g) score[g * KEYS + u] += dot(q[g * LANE_DIMS4 + i], k);
    }
  }
  [[unroll]] for (uint g = 0; g < ITEMS; ++g) {
    float best = highest[g];
    [[unroll]] for (uint u = 0; u < KEYS; ++u) {
      float s = score[g * KEYS + u];
      [[unroll]] for (uint mask = 1; mask < TEAM; mask <<= 1) s += subgroupShuffleXor(s, mask);
      const Item item = items[kOneRow ? 0 : g];
      s = biased(capped(s * kv_key_scale(page, keys, token[u]), p.softcap), slope[g], j0 + u, item.last);
      s = item.seen && j0 + u >= item.first && j0 + u <= item.last ? s : kNoScore;
      best = max(best, s);
      score[g * KEYS + u] = s;
    }
    const float rescale = exp(highest[g] - best);
    highest[g] = best;
    total[g] *= rescale;
    [[unroll]] for (uint i = 0; i < kLaneValues4; ++i) acc[g * kLaneValues4 + i] *= rescale;
    [[unroll]] for (uint u = 0; u < KEYS; ++u) {
      const float s = score[g * KEYS + u];
      const float weight = s > kNoScore ? exp(s - best) : 0;
      score[g * KEYS + u] = weight * kv_scale(page, values, token[u]);
      total[g] += weight;
    }
  }
  [[unroll]] for (uint u = 0; u < KEYS; ++u) {
    [[unroll]] for (uint i = 0; i < kLaneValues4; ++i) {
      const vec4 v = has_values(lane, i) ? kv_load4(page, values, token[u], lane + TEAM * i) : vec4(0);
      [[unroll]] for (uint g = 0; g < ITEMS; ++g) acc[g * kLaneValues4 + i] += score[g * KEYS + u] * v;
    }
  }
}

// Merges the teams of a subgroup: every lane ends with the sum over its dims.
void merge_teams() {
  [[unroll]] for (uint mask = TEAM; mask < SUBGROUP_SIZE; mask <<= 1) {
    [[unroll]] for (uint g = 0; g < ITEMS; ++g) {
      const float other = subgroupShuffleXor(highest[g], mask);
      const float best = max(highest[g], other);
      const float mine = exp(highest[g] - best), theirs = exp(other - best);
      total[g] = total[g] * mine + subgroupShuffleXor(total[g], mask) * theirs;
      [[unroll]] for (uint i = 0; i < kLaneValues4; ++i) {
        const vec4 v = acc[g * kLaneValues4 + i];
        acc[g * kLaneValues4 + i] = v * mine + subgroupShuffleXor(v, mask) * theirs;
      }
      highest[g] = best;
    }
  }
}

uint64_t partial_address(uint g) {
  const uint heads = gl_NumWorkGroups.x * GROUP;
  return p.scratch + uint64_t((items[g].row * heads + items[g].head) * p.splits + gl_WorkGroupID.y) * (4 * kPart);
}

// What the sum is divided by; merge.comp does it where there are splits. 0: the item saw no key.
float final_weight(uint g, float best, float weight) {
  return SPLIT == 0 && weight > 0 ? with_sink(weight, best, p.sinks, items[g].head) : weight;
}

void write4(uint g, uint dim4, vec4 sum, float weight) {
  if (SPLIT == 0)
    store_f32x4(p.y + uint64_t(items[g].row) * (4 * p.y_stride), 4 * items[g].head * VALUE_DIM + 16 * dim4,
                weight > 0 ? sum / weight : vec4(0));
  else
    store_f32x4(partial_address(g), 4 * kPartialHeader + 16 * dim4, sum);
}

void write_header(uint g, float best, float weight) {
  if (SPLIT != 0) store_f32x4(partial_address(g), 0, vec4(best, weight, 0, 0));
}

// One item's result from all subgroups. Every invocation of the workgroup calls it.
void write_merged(uint g) {
  const uint lane = gl_SubgroupInvocationID;
  barrier();  // the reads of the head before this one's writes
  if (lane < TEAM) {
    [[unroll]] for (uint i = 0; i < kLaneValues4; ++i) {
      if (!has_values(lane, i)) continue;
      [[unroll]] for (uint e = 0; e < 4; ++e)
        merge_buffer[gl_SubgroupID * kPart + kPartialHeader + 4 * (lane + i * TEAM) + e] = acc[g * kLaneValues4 + i][e];
    }
    merge_buffer[gl_SubgroupID * kPart] = highest[g];
    merge_buffer[gl_SubgroupID * kPart + 1] = total[g];
  }
  barrier();  // these writes before the reads below
  float best = kNoScore, weight = 0;
  for (uint s = 0; s < SUBGROUPS; ++s) best = max(best, merge_buffer[s * kPart]);
  for (uint s = 0; s < SUBGROUPS; ++s) weight += merge_buffer[s * kPart + 1] * exp(merge_buffer[s * kPart] - best);
  const float sum_of_weights = final_weight(g, best, weight);
  for (uint d = gl_LocalInvocationIndex; d < kValues4; d += gl_WorkGroupSize.x) {
    vec4 sum = vec4(0);
    for (uint s = 0; s < SUBGROUPS; ++s) {
      const uint at = s * kPart + kPartialHeader + 4 * d;
      sum += vec4(merge_buffer[at], merge_buffer[at + 1], merge_buffer[at + 2], merge_buffer[at + 3]) *
             exp(merge_buffer[s * kPart] - best);
    }
    write4(g, d, sum, sum_of_weights);
  }
  if (gl_LocalInvocationIndex == 0) write_header(g, best, weight);
}

void main() {
  const uint kv_head = gl_WorkGroupID.x, split = gl_WorkGroupID.y;
  const Tile tile = find_tile(p.step, gl_WorkGroupID.z, ITEMS);
  if (tile.rows == 0) return;
  uint first = 0xffffffffu, last = 0;
  bool any_seen = false;
  [[unroll]] for (uint g = 0; g < ITEMS; ++g) {
    items[g] = tile_item(p.step, tile, g, kv_head, p.window, p.chunk, kv_last_index(p.kv));
    if (!items[g].seen) continue;
    first = min(first, items[g].first);
    last = max(last, items[g].last);
    any_seen = true;
  }
  const uint first_chunk = first / KEYS;
  const uint chunks = any_seen ? last / KEYS - first_chunk + 1 : 0;
  const uint splits = SPLIT == 0 ? 1 : p.splits;
  const uint share = (chunks + splits * kTeams - 1) / (splits * kTeams) * kTeams;
  const uint begin = split * share, end = min(begin + share, chunks);
  if (SPLIT != 0 && begin >= end) {
    [[unroll]] for (uint g = 0; g < ITEMS; ++g)
      if (gl_LocalInvocationIndex == g && items[g].present) write_header(g, kNoScore, 0);
    return;
  }

  const uint lane = gl_SubgroupInvocationID % TEAM;
  [[unroll]] for (uint g = 0; g < ITEMS; ++g) {
    highest[g] = kNoScore;
    total[g] = 0;
    slope[g] = alibi_slope(items[g].head, p.alibi, p.scale);
    const uint64_t from = p.q + uint64_t(items[g].row) * (4 * p.q_stride);
    [[unroll]] for (uint i = 0; i < LANE_DIMS4; ++i) {
      q[g * LANE_DIMS4 + i] = has_dims(lane, i) ? load_f32x4(from, 4 * items[g].head * HEAD_DIM + 16 * (lane + i * TEAM)) * (p.scale * kKvQueryUnit)
                                                : vec4(0);
    }
    [[unroll]] for (uint i = 0; i < kLaneValues4; ++i) acc[g * kLaneValues4 + i] = vec4(0);
  }
  const KvPart keys = kv_part(p.kv, kv_head, false), values = kv_part(p.kv, kv_head, true);
  const uint team = gl_SubgroupID * kTeamsPerSubgroup + gl_SubgroupInvocationID / TEAM;
  for (uint c = begin + team; c < end; c += kTeams) {
    const uint j0 = (first_chunk + c) * KEYS;
    attend(kv_page(p.kv, tile.slot, j0 / kPageTokens), keys, values, j0, first, last, lane);
  }

  merge_teams();
  if (SUBGROUPS > 1) {
    [[unroll]] for (uint g = 0; g < ITEMS; ++g)
      if (items[g].present) write_merged(g);
    return;
  }
  if (gl_SubgroupInvocationID >= TEAM) return;
  [[unroll]] for (uint g = 0; g < ITEMS; ++g) {
    if (!items[g].present) continue;
    const float weight = final_weight(g, highest[g], total[g]);
    [[unroll]] for (uint i = 0; i < kLaneValues4; ++i)
      if (has_values(lane, i)) write4(g, lane + i * TEAM, acc[g * kLaneValues4 + i], weight);
    if (lane == 0) write_header(g, highest[g], total[g]);
  }
}
