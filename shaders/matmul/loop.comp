// y = W x on drivers that run a subgroup as the elements of CPU vectors and keep uniform values in loops (lavapipe since Mesa 26):
// lane i takes column c + i of NR rows of W and NT rows of x. Addresses are the same in all lanes, so that the driver's compiler
// loads a vector at once. Loops, rather than the straight line of matmul/line.comp, keep the code in the processor's cache of
// decoded instructions. Scales of a block of columns are read by a lane each. A workgroup computes p.turns times NR rows; tails
// of the columns are known when the pipeline is built; rows past the end are clamped and not written.
#version 460
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
#extension GL_KHR_shader_subgroup_basic : require
#extension GL_KHR_shader_subgroup_ballot : require
#extension GL_KHR_shader_subgroup_shuffle : require
layout(local_size_x_id = 0) in;
layout(constant_id = 3) const uint LANES = 8;
layout(constant_id = 4) const uint NR = 4;
layout(constant_id = 5) const uint NT = 1;
layout(constant_id = 6) const uint COLS = 64;
layout(constant_id = 7) const uint FLAGS = 0;
layout(constant_id = 8) const uint GLU = 0;
layout(constant_id = 9) const uint GROUP = 64;
#include "load.glsl"
#include "params_matmul.h"
layout(push_constant, scalar) uniform Push { LoopPush p; };
#include "matmul/output.glsl"
#include "matmul/norm_fold.glsl"
#include "quant/decode.glsl"

#define lane gl_SubgroupInvocationID
#include "quant/blocks.glsl"

const uint kSplit = GLU == 0 ? NR : NR / 2;  // rows of y at a time
const uint kOutputs = kSplit * NT;
const uint kBatches = (kOutputs + LANES - 1) / LANES;
const uint kBlocks = COLS / kBlock, kTail = COLS % kBlock;

uint padded(uint bytes) { return (bytes + 15) & ~15u; }

// Lane i gets the sum over all lanes of v[i]: halves are exchanged between pairs of vectors, LANES / 2, ... 2, 1 apart.
float reduce(float v[LANES]) {
  [[unroll]] for (uint width = LANES / 2; width > 0; width /= 2) {
    const bool low = (lane & width) == 0;
    [[unroll]] for (uint i = 0; i < width; ++i)
      v[i] = (low ? v[i] : v[i + width]) + subgroupShuffleXor(low ? v[i + width] : v[i], width);
  }
  return v[0];
}

Weights row[NR];  // addresses of the rows of W
uint64_t x[NT];   // and of x
float sum[NR * NT];
float factor[NT];   // of the norm before
float squares[NT];  // of what this lane stored
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

// Loops are of a form that the driver compiles well: within a condition, as it moves the comparisons of lanes, by which
// it knows vector loads, out of other loops; tested at the end, as it runs the body once more, with no lane active, where the
// test comes first, and then its loads are out of bounds; and of a length that it does not know.
void compute(uint first, uint first_t) {
  const uint matrix_rows = GLU == 0 ? p.rows : 2 * p.rows;
  const Weights all = Weights(p.w0, p.w1, p.w2, padded(row_bytes0(COLS)), padded(row_bytes1(COLS)), padded(row_bytes2(COLS)), 0);
  [[unroll]] for (uint r = 0; r < NR; ++r) {
    const uint at = r < kSplit ? first + r : p.rows + first + r - kSplit;
    row[r] = weights_at(all, min(at, matrix_rows - 1));
  }
  [[unroll]] for (uint i = 0; i < NR * NT; ++i) sum[i] = 0;
  if (p.blocks > 0) {
    uint b = 0;
    [[dont_unroll]] do {
      add_block(b, kBlock);
    } while (++b < p.blocks);
  }
  if (kTail != 0) add_block(kBlocks, kTail);

  // Output o is row first + o / NT of W for row first_t + o % NT of x: lane o % LANES of batch o / LANES.
  const uint used = used_rows();
  [[unroll]] for (uint b = 0; b < kBatches; ++b) {
    float v[LANES], u[LANES];
    [[unroll]] for (uint i = 0; i < LANES; ++i) {
      v[i] = b * LANES + i < kOutputs ? sum[min(b * LANES + i, kOutputs - 1)] : 0;
      u[i] = GLU != 0 && b * LANES + i < kOutputs ? sum[min(kOutputs + b * LANES + i, NR * NT - 1)] : 0;
    }
    const float total = reduce(v), gated = GLU != 0 ? reduce(u) : 0;
    const uint o = b * LANES + lane, at = first + o / NT, t = first_t + o % NT;
    if (o >= kOutputs || at >= p.rows || t >= used) continue;
    float by = 1;
    if (kNormX) {
      [[unroll]] for (uint i = 0; i < NT; ++i) by = i == o % NT ? factor[i] : by;
    }
    float y = finish(total * by, at);
    if (GLU != 0) y = activate(GLU, y) * finish(gated * by, at + p.rows);
    const float square = store_normed(t, at, y);
    if (kNormY) {
      [[unroll]] for (uint i = 0; i < NT; ++i) squares[i] += i == o % NT ? square : 0;
    }
  }
}

void main() {
  const uint first_t = gl_WorkGroupID.x * NT;
  const uint group = gl_WorkGroupID.z * gl_NumWorkGroups.y + gl_WorkGroupID.y, first = group * p.turns * kSplit;
  [[unroll]] for (uint t = 0; t < NT; ++t) {
    squares[t] = 0;
    if (kNormX) factor[t] = norm_factor(min(first_t + t, p.bucket - 1));
    x[t] = p.x + uint64_t(source_row(min(first_t + t, p.bucket - 1))) * uint64_t(4 * p.x_stride);
  }
  if (p.turns > 0) {
    uint turn = 0;
    [[dont_unroll]] do {
      compute(first + turn * kSplit, first_t);
    } while (++turn < p.turns);
  }
  if (kNormY) {
    [[unroll]] for (uint t = 0; t < NT; ++t) {
      const float all = subgroupAdd(squares[t]);
      if (lane == 0 && first_t + t < p.bucket)
        store_squares(first_t + t, group, gl_NumWorkGroups.y * gl_NumWorkGroups.z, all);
    }
  }
}
