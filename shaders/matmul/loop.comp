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

#include "matmul/loop_core.glsl"

const uint kSplit = GLU == 0 ? NR : NR / 2;  // rows of y at a time
const uint kOutputs = kSplit * NT;
const uint kBatches = (kOutputs + LANES - 1) / LANES;

float factor[NT];   // of the norm before
float squares[NT];  // of what this lane stored

void compute(uint first, uint first_t, uint used) {
  const uint matrix_rows = GLU == 0 ? p.rows : 2 * p.rows;
  const Weights all = Weights(plane_address(0), plane_address(1), plane_address(2), padded(row_bytes0(COLS)), padded(row_bytes1(COLS)), padded(row_bytes2(COLS)), 0);
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
  uint first_t = gl_WorkGroupID.x * NT, rows = p.bucket;
  if (kExperts) {
    // There are as many workgroups as tiles; as find_rows(), but without a condition for the driver to look through.
    const uvec4 tile = load_u32x4(p.bias, 16 + 16 * gl_WorkGroupID.x);
    expert_slab = load_address(p.w0, 8 * min(tile.x, p.bucket - 1));
    first_t = min(tile.y, p.x_rows - 1), rows = min(tile.z, p.x_rows);
  }
  const uint used = kExperts ? rows : used_rows();
  const uint group = gl_WorkGroupID.z * gl_NumWorkGroups.y + gl_WorkGroupID.y, first = group * p.turns * kSplit;
  [[unroll]] for (uint t = 0; t < NT; ++t) {
    squares[t] = 0;
    if (kNormX) factor[t] = norm_factor(min(first_t + t, p.bucket - 1));
    x[t] = p.x + uint64_t(source_row(min(first_t + t, rows - 1))) * uint64_t(4 * p.x_stride);
  }
  if (p.turns > 0) {
    uint turn = 0;
    [[dont_unroll]] do {
      compute(first + turn * kSplit, first_t, used);
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
