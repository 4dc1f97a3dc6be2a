// y += residual_scale * (Down (f(Gate x) * (Up x))) for one row: a whole feed-forward block in one dispatch, on drivers that run a
// subgroup as the elements of CPU vectors and keep uniform values in loops (lavapipe since Mesa 26), where a dispatch costs as much
// as a megabyte of weights. A workgroup computes the activations of its share of Down's columns, a number of whole blocks, and
// what they add to all rows of y (matmul/loop_parts.glsl).
#version 460
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
#extension GL_KHR_shader_subgroup_basic : require
#extension GL_KHR_shader_subgroup_ballot : require
#extension GL_KHR_shader_subgroup_shuffle : require
layout(local_size_x_id = 0) in;
layout(constant_id = 3) const uint LANES = 8;
layout(constant_id = 4) const uint NR = 4;  // rows of a matrix at a time: even, at most LANES
layout(constant_id = 5) const uint COLS = 64;  // of gate and up
layout(constant_id = 6) const uint FLAGS = 0;  // kMatmulNormX, kMatmulNormY
layout(constant_id = 7) const uint GLU = 1;
#include "load.glsl"
#include "params_matmul.h"
layout(push_constant, scalar) uniform Push { LoopFfnPush p; };
#include "activation.glsl"
#define lane gl_SubgroupInvocationID
#include "matmul/loop_parts.glsl"

const uint kUnits = NR / 2;  // of the block, whose gate and up make NR rows

// Activations [first, first + kUnits) of the block.
void go_up(uint first, float factor) {
  uint at[NR];
  [[unroll]] for (uint r = 0; r < NR; ++r) at[r] = r < kUnits ? first + r : p.width + first + r - kUnits;
  const float v = products(p.up, COLS, 0, at, 0, p.blocks, kTail) * factor;
  const float up = subgroupShuffle(v, (lane + kUnits) % LANES);
  if (lane < kUnits) store_f32(p.mid, 4 * (first + lane), activate(GLU, v) * up);
}

void main() {
  const uint blocks = p.width / kBlock, shares = gl_NumWorkGroups.x;
  const uint begin = blocks * gl_WorkGroupID.x / shares, end = blocks * (gl_WorkGroupID.x + 1) / shares;
  const float factor = kNormX ? fold_factor(p.x_fold, 0) : 1;
  x[0] = p.x;
  const uint turns = (end - begin) * (kBlock / kUnits);
  if (turns > 0) {
    uint turn = 0;
    [[dont_unroll]] do {
      go_up(begin * kBlock + turn * kUnits, factor);
    } while (++turn < turns);
  }
  lanes_agree();  // activations before their loads
  x[0] = p.mid;
  make_part(p.parts, p.down, p.rows, p.width, 0, begin, end, 0);
  if (is_last(p.counter) && step_rows(p.step) > 0) add_parts(p.parts, p.y, p.rows, p.residual_scale, p.y_fold);
}
