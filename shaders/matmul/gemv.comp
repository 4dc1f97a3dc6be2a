// y = W x for up to 16 rows of x (columns of the product). A subgroup computes NR rows of W for NT rows of x: lanes go along
// the columns of W a unit (16 bytes) at a time, sums are reduced over the subgroup at the end. TEAMS groups of rows a
// workgroup, dealt to its subgroups whatever their size is. With a gated activation half of the NR rows are of the gate and
// half of what it gates. Rows past the end are clamped when read and not written. Moves the matrix once.
#version 460
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
#extension GL_KHR_shader_subgroup_basic : require
#extension GL_KHR_shader_subgroup_arithmetic : require
layout(local_size_x_id = 0) in;
layout(constant_id = 3) const uint NR = 2;
layout(constant_id = 4) const uint NT = 1;
layout(constant_id = 5) const uint TEAMS = 1;
layout(constant_id = 6) const uint FLAGS = 0;
layout(constant_id = 7) const uint GLU = 0;
#include "load.glsl"
#include "params_matmul.h"
layout(push_constant, scalar) uniform Push { MatmulPush p; };
#include "matmul/input.glsl"
#include "matmul/output.glsl"

const uint kSplit = GLU == 0 ? NR : NR / 2;  // rows of y that a team computes

float sum[NR * NT];
Unit w[NR];
uint x_offset[NT];

// Group i of the units in w times the same columns of x.
void multiply(uint unit, uint i) {
  const uint column = column4(unit, i);
  vec4 w4[NR];
  [[unroll]] for (uint r = 0; r < NR; ++r) w4[r] = decode4(w[r], i);
  [[unroll]] for (uint t = 0; t < NT; ++t) {
    const vec4 x4 = load_x4(p.x, x_offset[t], column);
    [[unroll]] for (uint r = 0; r < NR; ++r) sum[r * NT + t] += dot(w4[r], x4);
  }
}

void compute(uint first) {
  const uint left = p.rows - first;
  const Weights gate = weights_at(the_weights(), first);
  const Weights up = weights_at(the_weights(), first + p.rows);  // used with GLU alone
  [[unroll]] for (uint t = 0; t < NT; ++t) x_offset[t] = source_row(min(t, p.bucket - 1)) * (4 * p.x_stride);
  [[unroll]] for (uint i = 0; i < NR * NT; ++i) sum[i] = 0;

  const uint units = (p.cols + kUnit - 1) / kUnit;
  for (uint unit = gl_SubgroupInvocationID; unit < units; unit += gl_SubgroupSize) {
    [[unroll]] for (uint r = 0; r < NR; ++r) {
      if (r < kSplit) w[r] = load_unit(gate, min(r, left - 1), unit);
      else w[r] = load_unit(up, min(r - kSplit, left - 1), unit);
    }
    // Unrolled, compilers load all of x ahead, and run out of registers when that is many rows.
    if (NT <= 2) {
      [[unroll]] for (uint i = 0; i < kUnit / 4; ++i) multiply(unit, i);
    } else {
      [[dont_unroll]] for (uint i = 0; i < kUnit / 4; ++i) multiply(unit, i);
    }
  }

  const uint used = used_rows();
  [[unroll]] for (uint r = 0; r < kSplit; ++r) {
    [[unroll]] for (uint t = 0; t < NT; ++t) {
      float v = subgroupAdd(sum[r * NT + t]);
      float u = 0;
      if (GLU != 0) u = subgroupAdd(sum[min(r + kSplit, NR - 1) * NT + t]);
      // Outputs are spread over the lanes, so that their loads and stores go out together.
      if (gl_SubgroupInvocationID != (r * NT + t) % gl_SubgroupSize || t >= used || r >= left) continue;
      v = finish(v, first + r);
      if (GLU != 0) v = activate(GLU, v) * finish(u, first + r + p.rows);
      store_y(t, first + r, v);
    }
  }
}

void main() {
  const uint group = gl_WorkGroupID.y * gl_NumWorkGroups.x + gl_WorkGroupID.x;
  for (uint team = gl_SubgroupID; team < TEAMS; team += gl_NumSubgroups) {
    const uint first = (group * TEAMS + team) * kSplit;
    if (first < p.rows) compute(first);
  }
}
