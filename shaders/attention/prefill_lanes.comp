// Prefill attention for CPUs: a lane keeps ITEMS query items (a head of a row) with their accumulators, all lanes see the same
// key, so that K and V are scalar loads. One subgroup a workgroup; grid (tiles, KV heads). KEYS keys at a time (never across
// a page) share one step of the running softmax; keys that no item sees are skipped, those that one does not see weigh
// nothing.
#version 460
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
#extension GL_KHR_shader_subgroup_basic : require
#extension GL_KHR_shader_subgroup_arithmetic : require
layout(local_size_x_id = 0) in;
layout(constant_id = 3) const uint HEAD_DIM = 64;
layout(constant_id = 4) const uint GROUP = 1;
layout(constant_id = 5) const uint ITEMS = 2;
layout(constant_id = 6) const uint KEYS = 8;  // divides kPageTokens
layout(constant_id = 7) const uint KV_TYPE = 0;
layout(constant_id = 8) const uint SCORES = 0;
layout(constant_id = 9) const uint VALUE_DIM = 64;
#include "attention/kv.glsl"
#include "attention/scores.glsl"
#include "attention/tiles.glsl"
#include "params_attention.h"

layout(push_constant, scalar) uniform Push { AttentionPush p; };

const uint kDims4 = HEAD_DIM / 4, kValues4 = VALUE_DIM / 4;

vec4 q[ITEMS * kDims4];
vec4 acc[ITEMS * kValues4];
float slope[ITEMS];
float highest[ITEMS];
float total[ITEMS];
Item items[ITEMS];

// Keys [j0, j0 + KEYS) of one page; [lowest, last] is what any item of the tile sees.
void attend(uint64_t page, KvPart keys, KvPart values, uint j0, uint lowest, uint last) {
  uint token[KEYS];
  float score[ITEMS * KEYS];
  [[unroll]] for (uint u = 0; u < KEYS; ++u) {
    token[u] = clamp(j0 + u, lowest, last) % kPageTokens;
    vec4 sum[ITEMS];
    [[unroll]] for (uint r = 0; r < ITEMS; ++r) sum[r] = vec4(0);
    [[unroll]] for (uint i = 0; i < kDims4; ++i) {
      const vec4 k = kv_load4(page, keys, token[u], i);
      [[unroll]] for (uint r = 0; r < ITEMS; ++r) sum[r] += q[r * kDims4 + i] * k;
    }
    const float scale = kv_key_scale(page, keys, token[u]);
    [[unroll]] for (uint r = 0; r < ITEMS; ++r)
      score[r * KEYS + u] = ((sum[r].x + sum[r].y) + (sum[r].z + sum[r].w)) * scale;
  }
  [[unroll]] for (uint r = 0; r < ITEMS; ++r) {
    float best = highest[r];
    [[unroll]] for (uint u = 0; u < KEYS; ++u) {
      const bool seen = items[r].seen && j0 + u >= items[r].first && j0 + u <= items[r].last;
      const float s = seen ? biased(capped(score[r * KEYS + u], p.softcap), slope[r], j0 + u, items[r].last) : kNoScore;
      best = max(best, s);
      score[r * KEYS + u] = s;
    }
    const float rescale = exp(highest[r] - best);
    highest[r] = best;
    total[r] *= rescale;
    [[unroll]] for (uint u = 0; u < KEYS; ++u) {
      const float s = score[r * KEYS + u];
      const float weight = s > kNoScore ? exp(s - best) : 0;
      score[r * KEYS + u] = weight * kv_scale(page, values, token[u]);
      total[r] += weight;
    }
    [[unroll]] for (uint i = 0; i < kValues4; ++i) acc[r * kValues4 + i] *= rescale;
  }
  [[unroll]] for (uint i = 0; i < kValues4; ++i) {
    [[unroll]] for (uint u = 0; u < KEYS; ++u) {
      const vec4 v = kv_load4(page, values, token[u], i);
      [[unroll]] for (uint r = 0; r < ITEMS; ++r) acc[r * kValues4 + i] += score[r * KEYS + u] * v;
    }
  }
}

void main() {
  const uint kv_head = gl_WorkGroupID.y;
  const Tile tile = find_tile(p.step, gl_WorkGroupID.x, gl_WorkGroupSize.x * ITEMS);
  if (tile.rows == 0) return;
  uint lowest = 0xffffffffu, last = 0;
  bool any_seen = false;
  [[unroll]] for (uint r = 0; r < ITEMS; ++r) {
    items[r] = tile_item(p.step, tile, gl_SubgroupInvocationID + gl_WorkGroupSize.x * r, kv_head, p.window,
                         p.chunk, kv_last_index(p.kv));
    slope[r] = alibi_slope(items[r].head, p.alibi, p.scale);
    const uint64_t from = p.q + uint64_t(items[r].row) * (4 * p.q_stride);
    [[unroll]] for (uint i = 0; i < kDims4; ++i) {
      q[r * kDims4 + i] = load_f32x4(from, 4 * items[r].head * HEAD_DIM + 16 * i) * (p.scale * kKvQueryUnit);
    }
    [[unroll]] for (uint i = 0; i < kValues4; ++i) acc[r * kValues4 + i] = vec4(0);
    highest[r] = kNoScore;
    total[r] = 0;
    if (items[r].seen) {
      lowest = min(lowest, items[r].first);
      last = max(last, items[r].last);
      any_seen = true;
    }
  }
  lowest = subgroupMin(lowest);
  last = subgroupMax(last);
  if (subgroupMax(any_seen ? 1 : 0) != 0) {
    const KvPart keys = kv_part(p.kv, kv_head, false), values = kv_part(p.kv, kv_head, true);
    for (uint j = lowest / KEYS * KEYS; j <= last; j += KEYS)
      attend(kv_page(p.kv, tile.slot, j / kPageTokens), keys, values, j, lowest, last);
  }
  [[unroll]] for (uint r = 0; r < ITEMS; ++r) {
    if (!items[r].present) continue;
    const uint64_t to = p.y + uint64_t(items[r].row) * (4 * p.y_stride);
    const float factor = total[r] > 0 ? 1.0 / with_sink(total[r], highest[r], p.sinks, items[r].head) : 0;
    [[unroll]] for (uint i = 0; i < kValues4; ++i)
      store_f32x4(to, 4 * items[r].head * VALUE_DIM + 16 * i, acc[r * kValues4 + i] * factor);
  }
}
