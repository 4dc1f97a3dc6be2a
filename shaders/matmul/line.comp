// y = W x on drivers that run a subgroup as the elements of CPU vectors (lavapipe): lane i takes column c + i of NR rows of W
// and NT rows of x. There is no loop and no branch before the end, and every address comes from push constants alone: then the
// driver's compiler loads once for all lanes instead of lane by lane, several times as fast. Ids of workgroup and subgroup
// become such values by a way through the push constant `ramp` ({0, 1, 2, 3}), which must be indexed uniformly. The columns are
// cut into CHUNKS equal parts, one a subgroup of the workgroup, summed in shared memory. x: any; tails are known when
// the pipeline is built; rows past the end are clamped and not written.
#version 460
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
#extension GL_KHR_shader_subgroup_basic : require
#extension GL_KHR_shader_subgroup_shuffle : require
layout(local_size_x_id = 0) in;
layout(constant_id = 3) const uint LANES = 8;
layout(constant_id = 4) const uint NR = 4;
layout(constant_id = 5) const uint NT = 1;
layout(constant_id = 6) const uint COLS = 64;
layout(constant_id = 7) const uint CHUNKS = 1;
layout(constant_id = 8) const uint FLAGS = 0;
layout(constant_id = 9) const uint GLU = 0;
layout(constant_id = 10) const uint GROUP = 64;
#include "load.glsl"
#include "params_matmul.h"
layout(push_constant, scalar) uniform Push { LinePush p; };
#include "matmul/output.glsl"
#include "quant/decode.glsl"

#define lane gl_SubgroupInvocationID
#include "lane_reduce.glsl"
#include "quant/lanes.glsl"

const uint kSplit = GLU == 0 ? NR : NR / 2;  // rows of y a subgroup
const uint kOutputs = kSplit * NT;
const uint kBatches = (kOutputs + LANES - 1) / LANES;
const uint kStepColumns = kVectors * LANES;
const uint kSteps = ((COLS + CHUNKS - 1) / CHUNKS + kStepColumns - 1) / kStepColumns;  // of a chunk
const uint kSegments = (kSteps + kSegment - 1) / kSegment;
shared float partial[CHUNKS == 1 ? 1 : CHUNKS * kBatches * LANES * (GLU == 0 ? 1 : 2)];

uint padded(uint bytes) { return (bytes + 15) & ~15u; }

// The same value, below 2^bits, as one that comes from push constants.
uint uniform_value(uint v, uint bits) {
  uint u = 0;
  [[unroll]] for (uint b = 0; b < bits; b += 2) u |= p.ramp[(v >> b) & 3] << b;
  return u;
}

Weights row[NR];      // addresses at the chunk's first column
uint64_t x[NT];       // the same of x
float sum[NR * NT];

// One row of x: quants are multiplied by x as they are, and scaled once a segment.
void add_segment(uint g) {
  float mine[kSegment * kVectors], x_sum[2] = float[2](0, 0);
  [[unroll]] for (uint i = 0; i < kSegment * kVectors; ++i) {
    const uint column = lane_column(g * kSegment + i / kVectors, i % kVectors);
    mine[i] = column < COLS ? lane_f32(x[0] + uint64_t(column * 4), COLS - column) : 0;
    x_sum[kScales == 1 ? 0 : i % kVectors] += mine[i];
  }
  [[unroll]] for (uint r = 0; r < NR; ++r) {
    float part[2] = float[2](kOffset * x_sum[0], kOffset * x_sum[1]);
    [[unroll]] for (uint s = 0; s < kSegment; ++s) {
      if (g * kSegment + s >= kSteps) break;
      const Raw raw = load_raw(row[r], g * kSegment + s);
      [[unroll]] for (uint v = 0; v < kVectors; ++v)
        part[kScales == 1 ? 0 : v] = fma(lane_quant(raw, v), mine[s * kVectors + v], part[kScales == 1 ? 0 : v]);
    }
    const Head head = load_head(row[r], g);
    [[unroll]] for (uint i = 0; i < kScales; ++i) {
      sum[r] = kScaled ? fma(head.scale[i], part[i], sum[r]) : sum[r] + part[i];
      if (kMinimum) sum[r] = fma(head.minimum[i], x_sum[i], sum[r]);
    }
  }
}

// Several rows of x: weights are decoded once for all of them.
void add_tile(uint g) {
  Head head[NR];
  [[unroll]] for (uint r = 0; r < NR; ++r) head[r] = load_head(row[r], g);
  [[unroll]] for (uint i = 0; i < kSegment; ++i) {
    const uint s = g * kSegment + i;
    if (s >= kSteps) break;
    Raw raw[NR];
    [[unroll]] for (uint r = 0; r < NR; ++r) raw[r] = load_raw(row[r], s);
    [[unroll]] for (uint v = 0; v < kVectors; ++v) {
      const uint column = lane_column(s, v);
      float mine[NT];
      [[unroll]] for (uint t = 0; t < NT; ++t) mine[t] = lane_f32(x[t] + uint64_t(column * 4), COLS - column);
      [[unroll]] for (uint r = 0; r < NR; ++r) {
        const float w = lane_value(head[r], lane_quant(raw[r], v), v);
        [[unroll]] for (uint t = 0; t < NT; ++t) sum[r * NT + t] = fma(w, mine[t], sum[r * NT + t]);
      }
    }
  }
}

void main() {
  const uint first_t = uniform_value(gl_WorkGroupID.x, 12) * NT;
  const uint first = uniform_value(gl_WorkGroupID.z * gl_NumWorkGroups.y + gl_WorkGroupID.y, 24) * kSplit;
  const uint chunk = CHUNKS == 1 ? 0 : uniform_value(gl_SubgroupID, 9);
  const uint matrix_rows = GLU == 0 ? p.rows : 2 * p.rows;

  const Weights all = Weights(p.w0, p.w1, p.w2, padded(row_bytes0(COLS)), padded(row_bytes1(COLS)), padded(row_bytes2(COLS)), 0);
  [[unroll]] for (uint r = 0; r < NR; ++r) {
    const uint at = r < kSplit ? first + r : p.rows + first + r - kSplit;
    row[r] = weights_at(all, min(at, matrix_rows - 1));
    row[r].plane0 += uint64_t(chunk * row_bytes0(COLS / CHUNKS));
    row[r].plane1 += uint64_t(chunk * (FORMAT >= 8 && GROUP >= COLS ? 0 : row_bytes1(COLS / CHUNKS)));
    row[r].plane2 += uint64_t(chunk * row_bytes2(COLS / CHUNKS));
  }
  [[unroll]] for (uint t = 0; t < NT; ++t) {
    const uint y_row = min(first_t + t, p.bucket - 1);
    uint source = y_row;
    if ((FLAGS & kMatmulGather) != 0)
      source = uniform_value(min(LoadU1(p.step + uint64_t(kStepLogitRowsOffset + 4 * min(y_row, kMaxRuns - 1))).v, p.x_rows - 1), 24);
    x[t] = p.x + uint64_t(source) * uint64_t(4 * p.x_stride) + uint64_t(chunk * (COLS / CHUNKS * 4));
  }

  [[unroll]] for (uint i = 0; i < NR * NT; ++i) sum[i] = 0;
  [[unroll]] for (uint g = 0; g < kSegments; ++g) {
    if (NT == 1) add_segment(g);
    else add_tile(g);
  }

  // Output o is row first + o / NT of W for row first_t + o % NT of x: lane o % LANES of batch o / LANES.
  float total[kBatches], gated[kBatches];
  [[unroll]] for (uint b = 0; b < kBatches; ++b) {
    float v[LANES];
    [[unroll]] for (uint i = 0; i < LANES; ++i) v[i] = b * LANES + i < kOutputs ? sum[min(b * LANES + i, kOutputs - 1)] : 0;
    total[b] = reduce(v);
    gated[b] = 0;
    if (GLU != 0) {
      [[unroll]] for (uint i = 0; i < LANES; ++i)
        v[i] = b * LANES + i < kOutputs ? sum[min(kOutputs + b * LANES + i, NR * NT - 1)] : 0;
      gated[b] = reduce(v);
    }
  }
  if (CHUNKS > 1) {
    const uint width = kBatches * LANES * (GLU == 0 ? 1 : 2);
    [[unroll]] for (uint b = 0; b < kBatches; ++b) {
      partial[gl_SubgroupID * width + b * LANES + lane] = total[b];
      if (GLU != 0) partial[gl_SubgroupID * width + (kBatches + b) * LANES + lane] = gated[b];
    }
    barrier();  // all parts are written before the first subgroup adds them
    if (gl_SubgroupID != 0) return;
    [[unroll]] for (uint b = 0; b < kBatches; ++b) {
      for (uint c = 1; c < CHUNKS; ++c) {
        total[b] += partial[c * width + b * LANES + lane];
        if (GLU != 0) gated[b] += partial[c * width + (kBatches + b) * LANES + lane];
      }
    }
  }

  const uint used = used_rows();
  [[unroll]] for (uint b = 0; b < kBatches; ++b) {
    const uint o = b * LANES + lane, at = first + o / NT, t = first_t + o % NT;
    if (o >= kOutputs || at >= p.rows || t >= used) continue;
    float v = finish(total[b], at);
    if (GLU != 0) v = activate(GLU, v) * finish(gated[b], at + p.rows);
    store_y(t, at, v);
  }
}
