// NR rows of W times NT rows of x over CPU vectors, a block of columns at a time (matmul/loop.comp): the sums before they are added
// over the lanes. Expects LANES, NR, NT, COLS, GROUP, FORMAT and quant/decode.glsl. Callers fill `row` and `x`, clear `sum`, and
// call add_block() for whole blocks in a loop, then for the tail:
//   loops must be of a form that the driver compiles well: within a condition, as it moves the comparisons of lanes, by which
//   it knows vector loads, out of other loops; tested at the end, as it runs the body once more, with no lane active, where the
//   test comes first, and then its loads are out of bounds; and of a length that it does not know.
#ifndef lane
#define lane gl_SubgroupInvocationID
#endif
#include "lane_reduce.glsl"
#include "quant/blocks.glsl"

const uint kBlocks = COLS / kBlock, kTail = COLS % kBlock;

uint padded(uint bytes) { return (bytes + 15) & ~15u; }

Weights row[NR];  // addresses of the rows of W
uint64_t x[NT];   // and of x
float sum[NR * NT];
float scale[NR * kHeads], minimum[NR * kHeads];  // of the parts of a block, one a lane
Weights at[NR];                                  // addresses of the block

// Scale and minimum of a part for all lanes.
vec2 part_head(uint r, uint part) {
  const uint h = r * kHeads + part / LANES;
  return vec2(subgroupBroadcast(scale[h], part % LANES), kMinimum ? subgroupBroadcast(minimum[h], part % LANES) : 0);
}

void enter_block(uint b, const uint n) {
  [[unroll]] for (uint r = 0; r < NR; ++r) {
    at[r] = block_at(row[r], b);
    [[unroll]] for (uint h = 0; h < kHeads; ++h) {
      const vec2 head = load_heads(at[r], b, h, n);
      scale[r * kHeads + h] = head.x, minimum[r * kHeads + h] = head.y;
    }
  }
}

// One row of x: quants are multiplied by x as they are, and scaled once a part. `n` columns of block b.
void add_vector(uint b, const uint n) {
  const uint64_t x_block = x[0] + uint64_t(b * kBlock * 4);
  float part_x[kBlock / kPart];  // sums of x
  [[unroll]] for (uint g = 0; g < kBlock / kPart; ++g) part_x[g] = 0;
  [[unroll]] for (uint g = 0; g < kSegments; ++g) {
    float mine[kSegment * kVectors];
    [[unroll]] for (uint i = 0; i < kSegment * kVectors; ++i) {
      const uint column = lane_column(g * kSegment + i / kVectors, i % kVectors);
      mine[i] = column < n ? lane_f32(x_block + uint64_t(column * 4), n - column) : 0;
      if (kMinimum || kOffset != 0) part_x[segment_part(g, i % kVectors % kScales)] += mine[i];
    }
    [[unroll]] for (uint r = 0; r < NR; ++r) {
      float part[kScales];
      [[unroll]] for (uint i = 0; i < kScales; ++i) part[i] = kOffset != 0 ? kOffset * part_x[segment_part(g, i)] : 0;
      [[unroll]] for (uint s = 0; s < kSegment; ++s) {
        if (lane_column(g * kSegment + s, 0) >= n) break;
        const Raw raw = load_raw(at[r], g * kSegment + s, n);
        [[unroll]] for (uint v = 0; v < kVectors; ++v) {
          const float q = lane_quant(raw, v), x_v = mine[s * kVectors + v];
          if (!kScaled) sum[r] = fma(q, x_v, sum[r]);
          else if (kOffset == 0 && s == 0 && v < kScales) part[v] = q * x_v;
          else part[v % kScales] = fma(q, x_v, part[v % kScales]);
        }
      }
      if (!kScaled || lane_column(g * kSegment, 0) >= n) continue;
      [[unroll]] for (uint i = 0; i < kScales; ++i) sum[r] = fma(part_head(r, segment_part(g, i)).x, part[i], sum[r]);
    }
  }
  if (kMinimum) {
    [[unroll]] for (uint first = 0; first < kBlock / kPart; first += LANES) {
      float v[LANES];
      [[unroll]] for (uint i = 0; i < LANES; ++i)
        v[i] = first + i < kBlock / kPart ? part_x[min(first + i, kBlock / kPart - 1)] : 0;
      const float total = reduce(v);
      [[unroll]] for (uint r = 0; r < NR; ++r) sum[r] = fma(minimum[r * kHeads + first / LANES], total, sum[r]);
    }
  }
}

// Several rows of x: weights are decoded once for all of them.
void add_tile(uint b, const uint n) {
  [[unroll]] for (uint s = 0; s < kSegments * kSegment; ++s) {
    if (lane_column(s, 0) >= n) break;
    Raw raw[NR];
    [[unroll]] for (uint r = 0; r < NR; ++r) raw[r] = load_raw(at[r], s, n);
    [[unroll]] for (uint v = 0; v < kVectors; ++v) {
      const uint column = lane_column(s, v), g = segment_part(s / kSegment, v % kScales);
      float w[NR];
      [[unroll]] for (uint r = 0; r < NR; ++r) {
        const float q = lane_quant(raw[r], v);
        const vec2 head = kScaled ? part_head(r, g) : vec2(1, 0);
        w[r] = !kScaled ? q : kMinimum ? fma(head.x, q, head.y) : head.x * (q + kOffset);
      }
      [[unroll]] for (uint t = 0; t < NT; ++t) {
        const float mine = lane_f32(x[t] + uint64_t((b * kBlock + column) * 4), n - column);
        [[unroll]] for (uint r = 0; r < NR; ++r) sum[r * NT + t] = fma(w[r], mine, sum[r * NT + t]);
      }
    }
  }
}

void add_block(uint b, const uint n) {
  enter_block(b, n);
  if (NT == 1) add_vector(b, n);
  else add_tile(b, n);
}
