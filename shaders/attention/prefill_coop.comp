// Prefill attention on cooperative matrices: flash attention on tiles of ITEMS query items by 32 keys, fp16 operands, fp32 sums
// and softmax. Grid (tiles, KV heads). Q stays in shared memory as fp16; K and V are staged there 64 dims at a time, whatever
// the cache's type. Scores go through shared memory to the softmax (four shares an item), weights times V back to the
// invocations, which keep the sums. Key tiles that no item sees are skipped; keys that one does not see weigh nothing. The
// workgroup is exactly SUBGROUPS subgroups; ITEMS * 16 quads divide among its invocations.
#version 460
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
#extension GL_EXT_shader_explicit_arithmetic_types_float16 : require
#extension GL_KHR_cooperative_matrix : require
#extension GL_KHR_memory_scope_semantics : require
#extension GL_KHR_shader_subgroup_basic : require
layout(local_size_x_id = 0) in;
layout(constant_id = 3) const uint HEAD_DIM = 64;  // a multiple of 16
layout(constant_id = 4) const uint GROUP = 1;
layout(constant_id = 5) const uint ITEMS = 32;  // a multiple of 16
layout(constant_id = 6) const uint SUBGROUPS = 4;
layout(constant_id = 7) const uint SUBGROUP_SIZE = 32;
layout(constant_id = 8) const uint TM = 16;
layout(constant_id = 9) const uint TN = 16;
layout(constant_id = 10) const uint TK = 16;
layout(constant_id = 11) const uint KV_TYPE = 0;
layout(constant_id = 12) const uint SCORES = 0;
layout(constant_id = 13) const uint VALUE_DIM = 64;  // a multiple of 4
#include "attention/kv.glsl"
#include "attention/scores.glsl"
#include "attention/tiles.glsl"
#include "params_attention.h"

layout(push_constant, scalar) uniform Push { AttentionPush p; };

const uint kKeys = 32;             // two pages
const uint kChunk = 64;            // dims staged at a time
const uint kChunk4 = kChunk / 4, kDims4 = HEAD_DIM / 4, kValues4 = VALUE_DIM / 4;
const uint kChunks = (HEAD_DIM + kChunk - 1) / kChunk, kValueChunks = (VALUE_DIM + kChunk - 1) / kChunk;
const uint kInvocations = SUBGROUPS * SUBGROUP_SIZE;
// Rows in shared memory, in units of four elements; one more unit, or two, spreads rows over the banks.
const uint kPitchQ = kChunks * kChunk4 + 2, kPitchKv = kChunk4 + 2, kPitchP = kKeys / 4 + 2, kPitchR = kChunk4 + 1;
const uint kPitchS = kKeys / 4 + 1;
const uint kScoreFragments = ITEMS / TM * (kKeys / TN), kScoreShare = (kScoreFragments + SUBGROUPS - 1) / SUBGROUPS;
const uint kValueFragments = ITEMS / TM * (kChunk / TN);
const uint kQuads = (ITEMS * kChunk4 + kInvocations - 1) / kInvocations;  // of an invocation in a chunk
const uint kParts = 4;  // shares of an item's softmax, eight keys each

shared f16vec4 q_tile[ITEMS * kPitchQ];   // [item][dim]
shared f16vec4 kv_chunk[kKeys * kPitchKv];  // [key][dim]
shared f16vec4 weights[ITEMS * kPitchP];  // [item][key]
shared vec4 results[ITEMS * kPitchR];     // scores [item][key], then weights times values [item][dim]
shared float part_highest[ITEMS * kParts], part_total[ITEMS * kParts];
shared float highest[ITEMS], factors[ITEMS];
shared uint item_first[ITEMS], item_last[ITEMS];
shared uint64_t item_q[ITEMS], item_y[ITEMS];  // addresses of the head; y 0: not present
shared float item_slope[ITEMS];                // ALiBi's

f16vec4 to_f16(vec4 v) { return f16vec4(clamp(v, vec4(-65504.0), vec4(65504.0))); }

void stage(uint64_t page0, uint64_t page1, KvPart part, uint quads, uint chunk, uint j0, uint lowest, uint last) {
  for (uint i = gl_LocalInvocationIndex; i < kKeys * kChunk4; i += kInvocations) {
    const uint key = i / kChunk4, quad = chunk * kChunk4 + i % kChunk4;
    const uint64_t page = key < kPageTokens ? page0 : page1;
    vec4 v = vec4(0);
    if (quad < quads && j0 + key >= lowest && j0 + key <= last)
      v = kv_load4(page, part, key % kPageTokens, quad) * kv_scale(page, part, key % kPageTokens);
    kv_chunk[key * kPitchKv + i % kChunk4] = to_f16(v);
  }
}

// Scores into weights; factors become what older sums are scaled by.
void soften(uint j0) {
  for (uint i = gl_LocalInvocationIndex; i < ITEMS * kParts; i += kInvocations) {
    const uint item = i / kParts, part = i % kParts;
    float most = kNoScore;
    [[unroll]] for (uint k = 0; k < 2; ++k) {
      vec4 s = results[item * kPitchS + 2 * part + k];
      const uint j = j0 + 8 * part + 4 * k;
      [[unroll]] for (uint e = 0; e < 4; ++e)
        s[e] = j + e >= item_first[item] && j + e <= item_last[item]
                   ? biased(capped(s[e], p.softcap), item_slope[item], j + e, item_last[item])
                   : kNoScore;
      results[item * kPitchS + 2 * part + k] = s;
      most = max(most, max(max(s.x, s.y), max(s.z, s.w)));
    }
    part_highest[i] = most;
  }
  barrier();  // the parts' maxima are written before they are read
  for (uint i = gl_LocalInvocationIndex; i < ITEMS * kParts; i += kInvocations) {
    const uint item = i / kParts, part = i % kParts;
    float best = highest[item];
    [[unroll]] for (uint k = 0; k < kParts; ++k) best = max(best, part_highest[item * kParts + k]);
    const float rescale = exp(highest[item] - best);
    float sum = 0;
    [[unroll]] for (uint k = 0; k < 2; ++k) {
      const vec4 s = results[item * kPitchS + 2 * part + k];
      const vec4 w = mix(vec4(0), exp(s - best), greaterThan(s, vec4(kNoScore)));
      weights[item * kPitchP + 2 * part + k] = f16vec4(w);
      sum += (w.x + w.y) + (w.z + w.w);
    }
    part_total[i] = part_total[i] * rescale + sum;
    if (part == 0) factors[item] = rescale;
  }
  barrier();  // everybody has read `highest` before it changes
  for (uint item = gl_LocalInvocationIndex; item < ITEMS; item += kInvocations)
    [[unroll]] for (uint k = 0; k < kParts; ++k) highest[item] = max(highest[item], part_highest[item * kParts + k]);
}

void main() {
  const uint kv_head = gl_WorkGroupID.y;
  const Tile tile = find_tile(p.step, gl_WorkGroupID.x, ITEMS);
  if (tile.rows == 0) return;
  const uint id = gl_LocalInvocationIndex;
  for (uint i = id; i < ITEMS; i += kInvocations) {
    const Item item = tile_item(p.step, tile, i, kv_head, p.window, p.chunk, kv_last_index(p.kv));
    item_first[i] = item.seen ? item.first : 0xffffffffu;
    item_last[i] = item.seen ? item.last : 0;
    item_q[i] = p.q + uint64_t(item.row) * (4 * p.q_stride) + uint64_t(4 * item.head * HEAD_DIM);
    item_y[i] = item.present ? p.y + uint64_t(item.row) * (4 * p.y_stride) + uint64_t(4 * item.head * VALUE_DIM) : 0;
    item_slope[i] = alibi_slope(item.head, p.alibi, p.scale);
    highest[i] = kNoScore;
    [[unroll]] for (uint k = 0; k < kParts; ++k) part_total[i * kParts + k] = 0;
  }
  barrier();  // the items are written before they are read
  uint lowest = 0xffffffffu, last = 0;
  for (uint i = 0; i < ITEMS; ++i) {
    lowest = min(lowest, item_first[i]);
    last = max(last, item_last[i]);
  }
  for (uint i = id; i < ITEMS * kChunks * kChunk4; i += kInvocations) {
    const uint item = i / (kChunks * kChunk4), quad = i % (kChunks * kChunk4);
    q_tile[item * kPitchQ + quad] = to_f16(quad < kDims4 ? load_f32x4(item_q[item], 16 * quad) * p.scale : vec4(0));
  }

  vec4 acc[kValueChunks * kQuads];
  [[unroll]] for (uint i = 0; i < kValueChunks * kQuads; ++i) acc[i] = vec4(0);
  const KvPart keys = kv_part(p.kv, kv_head, false), values = kv_part(p.kv, kv_head, true);
  for (uint j0 = lowest / kPageTokens * kPageTokens; lowest != 0xffffffffu && j0 <= last; j0 += kKeys) {
    const uint64_t page0 = kv_page(p.kv, tile.slot, j0 / kPageTokens);
    const uint64_t page1 = kv_page(p.kv, tile.slot, min(j0 / kPageTokens + 1, last / kPageTokens));
    coopmat<float, gl_ScopeSubgroup, TM, TN, gl_MatrixUseAccumulator> score[kScoreShare];
    [[unroll]] for (uint f = 0; f < kScoreShare; ++f)
      score[f] = coopmat<float, gl_ScopeSubgroup, TM, TN, gl_MatrixUseAccumulator>(0.0);
    for (uint chunk = 0; chunk < kChunks; ++chunk) {
      barrier();  // what was staged before is read, Q is written
      stage(page0, page1, keys, kDims4, chunk, j0, lowest, last);
      barrier();  // the keys are staged before they are read
      [[unroll]] for (uint f = 0; f < kScoreShare; ++f) {
        const uint fragment = f * SUBGROUPS + gl_SubgroupID;
        if (fragment >= kScoreFragments) continue;
        const uint m = fragment / (kKeys / TN) * TM, n = fragment % (kKeys / TN) * TN;
        for (uint k = 0; k < kChunk; k += TK) {
          coopmat<float16_t, gl_ScopeSubgroup, TM, TK, gl_MatrixUseA> a;
          coopmat<float16_t, gl_ScopeSubgroup, TK, TN, gl_MatrixUseB> b;
          coopMatLoad(a, q_tile, m * kPitchQ + (chunk * kChunk + k) / 4, kPitchQ, gl_CooperativeMatrixLayoutRowMajor);
          coopMatLoad(b, kv_chunk, n * kPitchKv + k / 4, kPitchKv, gl_CooperativeMatrixLayoutColumnMajor);
          score[f] = coopMatMulAdd(a, b, score[f]);
        }
      }
    }
    [[unroll]] for (uint f = 0; f < kScoreShare; ++f) {
      const uint fragment = f * SUBGROUPS + gl_SubgroupID;
      if (fragment >= kScoreFragments) continue;
      const uint m = fragment / (kKeys / TN) * TM, n = fragment % (kKeys / TN) * TN;
      coopMatStore(score[f], results, m * kPitchS + n / 4, kPitchS, gl_CooperativeMatrixLayoutRowMajor);
    }
    barrier();  // the scores are written before they are read
    soften(j0);
    [[unroll]] for (uint chunk = 0; chunk < kValueChunks; ++chunk) {
      barrier();  // what was staged before is read, and the results; weights and factors are written
      stage(page0, page1, values, kValues4, chunk, j0, lowest, last);
      barrier();  // the values are staged before they are read
      for (uint fragment = gl_SubgroupID; fragment < kValueFragments; fragment += SUBGROUPS) {
        const uint m = fragment / (kChunk / TN) * TM, n = fragment % (kChunk / TN) * TN;
        coopmat<float, gl_ScopeSubgroup, TM, TN, gl_MatrixUseAccumulator> sum =
            coopmat<float, gl_ScopeSubgroup, TM, TN, gl_MatrixUseAccumulator>(0.0);
        for (uint k = 0; k < kKeys; k += TK) {
          coopmat<float16_t, gl_ScopeSubgroup, TM, TK, gl_MatrixUseA> a;
          coopmat<float16_t, gl_ScopeSubgroup, TK, TN, gl_MatrixUseB> b;
          coopMatLoad(a, weights, m * kPitchP + k / 4, kPitchP, gl_CooperativeMatrixLayoutRowMajor);
          coopMatLoad(b, kv_chunk, k * kPitchKv + n / 4, kPitchKv, gl_CooperativeMatrixLayoutRowMajor);
          sum = coopMatMulAdd(a, b, sum);
        }
        coopMatStore(sum, results, m * kPitchR + n / 4, kPitchR, gl_CooperativeMatrixLayoutRowMajor);
      }
      barrier();  // the products are written before they are read
      [[unroll]] for (uint i = 0; i < kQuads; ++i) {
        const uint at = id + i * kInvocations, item = at / kChunk4;
        if (item < ITEMS) acc[chunk * kQuads + i] = acc[chunk * kQuads + i] * factors[item] + results[item * kPitchR + at % kChunk4];
      }
    }
  }

  [[unroll]] for (uint chunk = 0; chunk < kValueChunks; ++chunk) {
    [[unroll]] for (uint i = 0; i < kQuads; ++i) {
      const uint at = id + i * kInvocations, item = at / kChunk4, quad = chunk * kChunk4 + at % kChunk4;
      if (item >= ITEMS || quad >= kValues4 || item_y[min(item, ITEMS - 1)] == 0) continue;
      float total = 0;
      [[unroll]] for (uint k = 0; k < kParts; ++k) total += part_total[item * kParts + k];
      const uint head = kv_head * GROUP + (tile.first_item + item) % GROUP;
      store_f32x4(item_y[item], 16 * quad,
                  total > 0 ? acc[chunk * kQuads + i] / with_sink(total, highest[item], p.sinks, head) : vec4(0));
    }
  }
}
