// Prefill attention, fp32: flash attention on tiles of 32 query items by 32 keys, 128 invocations, no subgroup operations.
// Grid (tiles, KV heads). Scores: 4 items x 2 keys an invocation, Q and K staged in shared memory 32 dims at a time. Softmax:
// 4 invocations an item, over the scores in shared memory. Values: 4 items x 4 dims x DIMS64 an invocation, V from cache. Key
// tiles that no item sees are skipped; keys that one does not see weigh nothing. 14 KB of shared memory.
#version 460
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
layout(local_size_x_id = 0) in;  // 128
layout(constant_id = 3) const uint HEAD_DIM = 64;
layout(constant_id = 4) const uint GROUP = 1;
layout(constant_id = 5) const uint DIMS64 = 1;  // ceil(VALUE_DIM / 64)
layout(constant_id = 6) const uint KV_TYPE = 0;
layout(constant_id = 7) const uint SCORES = 0;
layout(constant_id = 8) const uint VALUE_DIM = 64;
layout(constant_id = 9) const uint STEP = 4;  // keys whose values are on their way together: 4, or 1 where registers are few
#include "attention/kv.glsl"
#include "attention/scores.glsl"
#include "attention/tiles.glsl"
#include "params_attention.h"

layout(push_constant, scalar) uniform Push { AttentionPush p; };

const uint kItems = 32;
const uint kKeys = 32;      // two pages
const uint kChunk4 = 8;     // quads of dims staged at a time
const uint kRow4 = kChunk4 + 1;  // a row of them, padded against bank conflicts
const uint kDims4 = HEAD_DIM / 4, kValues4 = VALUE_DIM / 4;

shared vec4 q_chunk[kItems * kRow4];
shared vec4 k_chunk[kKeys * kRow4];
shared vec4 scores[kItems * kRow4];  // [item][key], then the weights
shared float part_highest[kItems * 4];
shared float factors[kItems];  // what the accumulators are scaled by; at the end 1 / sum
shared uvec2 item_keys[kItems];  // first and last that the item sees
shared uint64_t item_q[kItems], item_y[kItems];  // addresses of the head; y 0: not present
shared float item_slope[kItems];                 // ALiBi's

vec4 acc[4 * DIMS64];  // four items, quads of dims

// A key's values, weighted for the four items; `column` is the first quad.
void add_values(uint64_t page, KvPart values, uint token, uint column, vec4 weights) {
  const float scale = kv_scale(page, values, token);
  [[unroll]] for (uint n = 0; n < DIMS64; ++n) {
    const uint dim4 = min(column + 16 * n, kValues4 - 1);
    const vec4 v = kv_load4(page, values, token, dim4) * scale;
    [[unroll]] for (uint r = 0; r < 4; ++r) acc[r * DIMS64 + n] += weights[r] * v;
  }
}

void stage_queries(uint chunk) {
  for (uint i = gl_LocalInvocationIndex; i < kItems * kChunk4; i += gl_WorkGroupSize.x) {
    const uint item = i / kChunk4, dim4 = chunk * kChunk4 + i % kChunk4;
    q_chunk[item * kRow4 + i % kChunk4] = dim4 < kDims4 ? load_f32x4(item_q[item], 16 * dim4) * p.scale : vec4(0);
  }
}

void stage_keys(uint chunk, uint64_t page0, uint64_t page1, KvPart keys, uint j0, uint lowest, uint last) {
  for (uint i = gl_LocalInvocationIndex; i < kKeys * kChunk4; i += gl_WorkGroupSize.x) {
    const uint key = i / kChunk4, dim4 = chunk * kChunk4 + i % kChunk4;
    const bool exists = dim4 < kDims4 && j0 + key >= lowest && j0 + key <= last;
    const uint64_t page = key < kPageTokens ? page0 : page1;
    k_chunk[key * kRow4 + i % kChunk4] =
        exists ? kv_load4(page, keys, key % kPageTokens, dim4) * kv_scale(page, keys, key % kPageTokens) : vec4(0);
  }
}

// Turns the scores of an item into weights, by four invocations with eight keys each. Returns this one's share of their sum.
float soften(uint item, uint part, inout float highest, float total) {
  vec4 a = scores[item * kRow4 + 2 * part], b = scores[item * kRow4 + 2 * part + 1];
  const vec4 both = max(a, b);
  part_highest[item * 4 + part] = max(max(both.x, both.y), max(both.z, both.w));
  barrier();  // the parts' maxima are written before they are read
  float best = highest;
  for (uint i = 0; i < 4; ++i) best = max(best, part_highest[item * 4 + i]);
  const float rescale = exp(highest - best);
  highest = best;
  a = mix(vec4(0), exp(a - best), greaterThan(a, vec4(kNoScore)));
  b = mix(vec4(0), exp(b - best), greaterThan(b, vec4(kNoScore)));
  scores[item * kRow4 + 2 * part] = a;
  scores[item * kRow4 + 2 * part + 1] = b;
  if (part == 0) factors[item] = rescale;
  a += b;
  return total * rescale + ((a.x + a.y) + (a.z + a.w));
}

void main() {
  const uint kv_head = gl_WorkGroupID.y;
  const Tile tile = find_tile(p.step, gl_WorkGroupID.x, kItems);
  if (tile.rows == 0) return;
  const uint id = gl_LocalInvocationIndex;
  if (id < kItems) {
    const Item item = tile_item(p.step, tile, id, kv_head, p.window, p.chunk, kv_last_index(p.kv));
    item_keys[id] = item.seen ? uvec2(item.first, item.last) : uvec2(0xffffffffu, 0);
    item_q[id] = p.q + uint64_t(item.row) * (4 * p.q_stride) + uint64_t(4 * item.head * HEAD_DIM);
    item_y[id] = item.present ? p.y + uint64_t(item.row) * (4 * p.y_stride) + uint64_t(4 * item.head * VALUE_DIM) : 0;
    item_slope[id] = alibi_slope(item.head, p.alibi, p.scale);
  }
  barrier();  // the items are written before they are read
  uint lowest = 0xffffffffu, last = 0;
  for (uint i = 0; i < kItems; ++i) {
    lowest = min(lowest, item_keys[i].x);
    last = max(last, item_keys[i].y);
  }

  const uint row4 = id / 16 * 4, column = id % 16;  // items row4..row4+3; keys column, column+16; dims quad column, +16, ...
  const uint soft_item = id / 4, soft_part = id % 4;
  float highest = kNoScore, total = 0;  // of soft_item; total is this invocation's share
  [[unroll]] for (uint i = 0; i < 4 * DIMS64; ++i) acc[i] = vec4(0);
  const KvPart keys = kv_part(p.kv, kv_head, false), values = kv_part(p.kv, kv_head, true);

  for (uint j0 = lowest / kPageTokens * kPageTokens; lowest != 0xffffffffu && j0 <= last; j0 += kKeys) {
    const uint64_t page0 = kv_page(p.kv, tile.slot, j0 / kPageTokens);
    const uint64_t page1 = kv_page(p.kv, tile.slot, min(j0 / kPageTokens + 1, last / kPageTokens));
    float score[8];
    [[unroll]] for (uint i = 0; i < 8; ++i) score[i] = 0;
    for (uint chunk = 0; chunk * kChunk4 < kDims4; ++chunk) {
      stage_queries(chunk);
      stage_keys(chunk, page0, page1, keys, j0, lowest, last);
      barrier();  // Q and K are staged before they are read
      for (uint d = 0; d < kChunk4; ++d) {
        const vec4 k0 = k_chunk[column * kRow4 + d], k1 = k_chunk[(column + 16) * kRow4 + d];
        [[unroll]] for (uint r = 0; r < 4; ++r) {
          const vec4 q = q_chunk[(row4 + r) * kRow4 + d];
          score[2 * r] += dot(q, k0);
          score[2 * r + 1] += dot(q, k1);
        }
      }
      barrier();  // they are read before they are staged again
    }
    [[unroll]] for (uint r = 0; r < 4; ++r) {
      [[unroll]] for (uint c = 0; c < 2; ++c) {
        const uint key = column + 16 * c, j = j0 + key;
        const bool seen = j >= item_keys[row4 + r].x && j <= item_keys[row4 + r].y;
        const float s = biased(capped(score[2 * r + c], p.softcap), item_slope[row4 + r], j, item_keys[row4 + r].y);
        scores[(row4 + r) * kRow4 + key / 4][key % 4] = seen ? s : kNoScore;
      }
    }
    barrier();  // the scores are written before they are read
    total = soften(soft_item, soft_part, highest, total);
    barrier();  // the weights and factors are written before they are read
    [[unroll]] for (uint r = 0; r < 4; ++r) {
      [[unroll]] for (uint n = 0; n < DIMS64; ++n) acc[r * DIMS64 + n] *= factors[row4 + r];
    }
    for (uint step = 0; step < kKeys / STEP; ++step) {
      vec4 weights[STEP];  // of a key
      if (STEP == 1) {
        [[unroll]] for (uint r = 0; r < 4; ++r) weights[0][r] = scores[(row4 + r) * kRow4 + step / 4][step % 4];
      } else {
        [[unroll]] for (uint r = 0; r < 4; ++r) {
          const vec4 of_item = scores[(row4 + r) * kRow4 + step];
          [[unroll]] for (uint u = 0; u < STEP; ++u) weights[u][r] = of_item[u];
        }
      }
      [[unroll]] for (uint u = 0; u < STEP; ++u) {
        const uint j = clamp(j0 + STEP * step + u, lowest, last);
        add_values(j - j0 < kPageTokens ? page0 : page1, values, j % kPageTokens, column, weights[u]);
      }
    }
    // The next write of the scores comes after the barriers around Q and K.
  }

  part_highest[soft_item * 4 + soft_part] = total;
  barrier();  // the shares of the sums are written before they are read
  if (soft_part == 0) {
    float sum = 0;
    for (uint i = 0; i < 4; ++i) sum += part_highest[soft_item * 4 + i];
    const uint head = kv_head * GROUP + (tile.first_item + soft_item) % GROUP;
    factors[soft_item] = sum > 0 ? 1.0 / with_sink(sum, highest, p.sinks, head) : 0;
  }
  barrier();  // the factors are written before they are read
  [[unroll]] for (uint r = 0; r < 4; ++r) {
    if (item_y[row4 + r] == 0) continue;
    [[unroll]] for (uint n = 0; n < DIMS64; ++n)
      if (column + 16 * n < kValues4) store_f32x4(item_y[row4 + r], 16 * (column + 16 * n), acc[r * DIMS64 + n] * factors[row4 + r]);
  }
}
