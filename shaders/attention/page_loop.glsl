// Attention of one row over the pages of its cache, on drivers that run a subgroup as the elements of CPU vectors and keep uniform
// values in loops: a page of keys at a time with an online softmax, ITEMS query heads of a KV head together. Lane i holds dim d + i of
// a key or a query, then score k + i. Keys that the row does not see are read as a neighbour and weigh nothing. Includers define LANES (a
// multiple of 4 that divides kPageTokens), `lane`, HEAD_DIM, VALUE_DIM, HEADS_A_KV (query heads of a KV head), ITEMS, SCORES, what
// rope/rope_lanes.glsl asks for, and `p` with kv, scale, softcap, alibi and eps.
#include "attention/kv.glsl"
#include "attention/scores.glsl"

const uint kHeadVectors = (HEAD_DIM + LANES - 1) / LANES, kValueVectors = (VALUE_DIM + LANES - 1) / LANES;
#include "attention/kv_lanes.glsl"
#include "lane_reduce.glsl"
#include "rope/rope_lanes.glsl"

const uint kBatches = kPageTokens / LANES;
const uint kValueBlock = 4;  // vectors of dims whose sums are kept in registers together

float q[ITEMS * kHeadVectors];     // times the scale
float acc[ITEMS * kValueVectors];  // of weighted values
float best[ITEMS], total[ITEMS];   // largest score; a lane's part of the sum of weights
float slope[ITEMS];

// The keys of a page among [first, end), which has some of them. `last` is the row's own index.
void add_page(uint slot, uint index, uint first, uint end, uint last, KvPart keys, KvPart values) {
  const uint64_t page = kv_page(p.kv, slot, index);
  const uint from = index * kPageTokens;
  uint token[kPageTokens];
  [[unroll]] for (uint j = 0; j < kPageTokens; ++j) token[j] = clamp(from + j, first, end - 1) - from;

  float weight[ITEMS * kBatches];
  [[unroll]] for (uint b = 0; b < kBatches; ++b) {
    float dots[ITEMS * LANES];
    [[unroll]] for (uint u = 0; u < LANES; ++u) {
      const uint at = token[b * LANES + u];
      [[unroll]] for (uint g = 0; g < ITEMS; ++g) dots[g * LANES + u] = 0;
      [[unroll]] for (uint i = 0; i < kHeadVectors; ++i) {
        const float k = kv_lane(page, keys, at, i);
        [[unroll]] for (uint g = 0; g < ITEMS; ++g) dots[g * LANES + u] = fma(k, q[g * kHeadVectors + i], dots[g * LANES + u]);
      }
      const float scale = kv_key_scale(page, keys, at);
      [[unroll]] for (uint g = 0; g < ITEMS; ++g) dots[g * LANES + u] *= scale;
    }
    const uint j = from + b * LANES + lane;
    const bool seen = j >= first && j < end;
    [[unroll]] for (uint g = 0; g < ITEMS; ++g) {
      float one[LANES];
      [[unroll]] for (uint i = 0; i < LANES; ++i) one[i] = dots[g * LANES + i];
      weight[g * kBatches + b] = seen ? biased(capped(reduce(one), p.softcap), slope[g], j, last) : kNoScore;
    }
  }

  float decline[ITEMS];  // of what was summed up with an earlier maximum
  [[unroll]] for (uint g = 0; g < ITEMS; ++g) {
    float most = weight[g * kBatches];
    [[unroll]] for (uint b = 1; b < kBatches; ++b) most = max(most, weight[g * kBatches + b]);
    most = max(best[g], lane_max(most));
    decline[g] = exp(best[g] - most);
    best[g] = most, total[g] *= decline[g];
    [[unroll]] for (uint b = 0; b < kBatches; ++b) {
      const float score = weight[g * kBatches + b];
      weight[g * kBatches + b] = score > kNoScore ? exp(score - most) : 0;
      total[g] += weight[g * kBatches + b];
    }
  }

  [[unroll]] for (uint block = 0; block < kValueVectors; block += kValueBlock) {
    const uint vectors = min(kValueBlock, kValueVectors - block);
    [[unroll]] for (uint i = 0; i < vectors; ++i)
      [[unroll]] for (uint g = 0; g < ITEMS; ++g) acc[g * kValueVectors + block + i] *= decline[g];
    [[unroll]] for (uint j = 0; j < kPageTokens; ++j) {
      const float scale = kv_scale(page, values, token[j]);
      float by[ITEMS];
      [[unroll]] for (uint g = 0; g < ITEMS; ++g)
        by[g] = subgroupBroadcast(weight[g * kBatches + j / LANES], j % LANES) * scale;
      [[unroll]] for (uint i = 0; i < vectors; ++i) {
        const float value = kv_lane(page, values, token[j], block + i);
        [[unroll]] for (uint g = 0; g < ITEMS; ++g)
          acc[g * kValueVectors + block + i] = fma(by[g], value, acc[g * kValueVectors + block + i]);
      }
    }
  }
}

// Heads [first_head, first_head + ITEMS) of a row of q, those before end_head.
void load_queries(uint64_t row, uint first_head, uint end_head, uint64_t q_norm) {
  [[unroll]] for (uint g = 0; g < ITEMS; ++g) {
    const uint head = min(first_head + g, end_head - 1);
    slope[g] = alibi_slope(head, p.alibi, p.scale);
    load_turned_head(row + uint64_t(4 * head * HEAD_DIM), q_norm, head, p.eps);
    [[unroll]] for (uint i = 0; i < kHeadVectors; ++i) q[g * kHeadVectors + i] = v[i] * (p.scale * kKvQueryUnit);
  }
}

// The row's own key and value, from a row of q, k and v: to the cache where `write`, and into the sums where `counts`.
void add_own(uint64_t qkv, Row row, uint kv_head, uint kv_heads, uint64_t k_norm, KvPart keys, KvPart values, bool counts, bool write) {
  const uint64_t k_row = qkv + uint64_t(4 * (kv_heads * HEADS_A_KV + kv_head) * HEAD_DIM);
  const uint64_t v_row = k_row + uint64_t(4 * kv_heads * HEAD_DIM);
  const uint64_t page = kv_page(p.kv, row.slot, row.kv_index / kPageTokens);
  const uint token = row.kv_index % kPageTokens;
  load_turned_head(k_row, k_norm, kv_head, p.eps);
  store_head(page, keys, token, write);
  [[unroll]] for (uint g = 0; g < ITEMS; ++g) {
    float dots = 0;
    [[unroll]] for (uint i = 0; i < kHeadVectors; ++i) dots = fma(v[i], q[g * kHeadVectors + i], dots);
    best[g] = counts ? capped(lane_sum(dots), p.softcap) : kNoScore;
    total[g] = counts && lane == 0 ? 1 : 0;
  }
  load_head(v_row);
  store_head(page, values, token, write);
  [[unroll]] for (uint g = 0; g < ITEMS; ++g)
    [[unroll]] for (uint i = 0; i < kValueVectors; ++i) acc[g * kValueVectors + i] = counts ? v[min(i, kHeadVectors - 1)] : 0;
}

// Keys [first, end) of a row at `last` that come from memory, and the pages that hold them.
struct KeyRange { uint first, end, last, first_page, pages; };
KeyRange key_range(uint last, uint window, uint chunk, bool own_apart, bool valid) {
  const uint first = first_key(last, window, chunk), end = own_apart ? last : last + 1;
  return KeyRange(first, end, last, first / kPageTokens, valid && end > first ? (end - 1) / kPageTokens - first / kPageTokens + 1 : 0);
}

void clear_sums() {
  [[unroll]] for (uint g = 0; g < ITEMS; ++g) best[g] = kNoScore, total[g] = 0;
  [[unroll]] for (uint i = 0; i < ITEMS * kValueVectors; ++i) acc[i] = 0;
}

// Pages [begin, begin + count) of the range; loops are of the form that matmul/loop_core.glsl explains.
void add_pages(uint slot, KeyRange range, uint begin, uint count, KvPart keys, KvPart values) {
  if (count > 0) {
    uint i = 0;
    [[dont_unroll]] do {
      add_page(slot, range.first_page + begin + i, range.first, range.end, range.last, keys, values);
    } while (++i < count);
  }
}
