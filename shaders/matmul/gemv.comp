// y = W x for up to 16 rows of x (columns of the product). A subgroup computes NR rows of W for NT rows of x: lanes go along
// the columns of W a unit (16 bytes) at a time, sums are reduced over the subgroup at the end. TEAMS groups of rows a
// workgroup, dealt to its subgroups whatever their size is; with SPLIT above 1 that many subgroups share the columns of a team,
// and there are exactly TEAMS * SPLIT. With a gated activation half of the NR rows are of the gate and half of what it
// gates. Rows past the end are clamped when read and not written. INT8: integer dot products of int8 rows of x
// (params_x_rows.h; p.x_stride in bytes, rows gathered already). Moves the matrix once.
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
layout(constant_id = 8) const uint SPLIT = 1;
layout(constant_id = 9) const uint STEP = 4;  // rows of x that are taken or left together, by how many are in use
#include "load.glsl"
#include "params_matmul.h"
layout(push_constant, scalar) uniform Push { MatmulPush p; };
#include "matmul/input.glsl"
#include "matmul/output.glsl"
#include "matmul/norm_fold.glsl"
#ifdef INT8
#include "int8_rows.glsl"
#include "quant/dot.glsl"
const uint kGroups = kRuns;  // that a unit is decoded in
#else
const uint kGroups = kUnit / 4;
#endif

const uint kHalf = GLU == 0 ? NR : NR / 2;  // rows of y that a team computes
shared float partial[SPLIT > 1 ? TEAMS * SPLIT * NR * NT : 1];
shared float subgroup_squares[kNormY ? 32 * NT : 1];

float sum[NR * NT];
Unit w[NR];
uint x_offset[NT];
float factor[NT];   // of the norm before
float squares[NT];  // of what this lane stored

#ifdef INT8
// Run i of the units in w times the same columns of x.
void multiply(uint unit, uint i, uint used) {
  const uint column = column4(unit, 4 * i);
  uvec4 words[NR];
  vec2 scale[NR];
  [[unroll]] for (uint r = 0; r < NR; ++r) words[r] = run_words(w[r], i), scale[r] = run_scale(w[r], i);
  [[unroll]] for (uint first = 0; first < NT; first += STEP) {
    if (first >= used) break;
    [[unroll]] for (uint t = first; t < min(first + STEP, NT); ++t) {
      const uvec4 x16 = int8_words(p.x, x_offset[t], column);
      const vec2 head = int8_scale_sum(p.x, x_offset[t], p.cols, column);
      [[unroll]] for (uint r = 0; r < NR; ++r) {
        float v = scale[r].x * float(dot_words(words[r], x16));
        if (kRunMinimum) v += scale[r].y * head.y;
        sum[r * NT + t] += head.x * v;
      }
    }
  }
}
uint offset_of(uint t) { return t * p.x_stride; }
#else
// Group i of the units in w times the same columns of x.
void multiply(uint unit, uint i, uint used) {
  const uint column = column4(unit, i);
  vec4 w4[NR];
  [[unroll]] for (uint r = 0; r < NR; ++r) w4[r] = decode4(w[r], i);
  [[unroll]] for (uint first = 0; first < NT; first += STEP) {
    if (first >= used) break;
    [[unroll]] for (uint t = first; t < min(first + STEP, NT); ++t) {
      const vec4 x4 = load_x4(p.x, x_offset[t], column);
      [[unroll]] for (uint r = 0; r < NR; ++r) sum[r * NT + t] += dot(w4[r], x4);
    }
  }
}
uint offset_of(uint t) { return source_row(t) * (4 * p.x_stride); }
#endif

// The team's rows from `first` on, of the columns that fall to `part` of SPLIT.
void compute(uint first, uint part, uint used) {
  const uint left = p.rows - first;
  const Weights gate = weights_at(the_weights(), first);
  const Weights up = weights_at(the_weights(), first + p.rows);  // used with GLU alone
  [[unroll]] for (uint t = 0; t < NT; ++t) x_offset[t] = offset_of(min(t, used - 1));
  [[unroll]] for (uint i = 0; i < NR * NT; ++i) sum[i] = 0;

  const uint units = (p.cols + kUnit - 1) / kUnit;
  for (uint unit = part * gl_SubgroupSize + gl_SubgroupInvocationID; unit < units; unit += SPLIT * gl_SubgroupSize) {
    [[unroll]] for (uint r = 0; r < NR; ++r) {
      if (r < kHalf) w[r] = load_unit(gate, min(r, left - 1), unit);
      else w[r] = load_unit(up, min(r - kHalf, left - 1), unit);
    }
    // Unrolled, compilers load all of x ahead, and run out of registers when that is many rows.
    if (NT <= 2) {
      [[unroll]] for (uint i = 0; i < kGroups; ++i) multiply(unit, i, used);
    } else {
      [[dont_unroll]] for (uint i = 0; i < kGroups; ++i) multiply(unit, i, used);
    }
  }
}

// v and u: sums of row r of the gate (or of all there is) and of what it gates.
void store_sum(uint first, uint r, uint t, float v, float u) {
  float by = 1;
  if (kNormX) {
    [[unroll]] for (uint i = 0; i < NT; ++i) by = i == t ? factor[i] : by;
  }
  v = finish(v * by, first + r);
  if (GLU != 0) v = activate(GLU, v) * finish(u * by, first + r + p.rows);
  const float square = store_normed(t, first + r, v);
  if (kNormY) {
    [[unroll]] for (uint i = 0; i < NT; ++i) squares[i] += i == t ? square : 0;
  }
}

void store_sums(uint first, uint used) {
  const uint left = p.rows - first;
  [[unroll]] for (uint r = 0; r < kHalf; ++r) {
    [[unroll]] for (uint t = 0; t < NT; ++t) {
      const float v = subgroupAdd(sum[r * NT + t]);
      float u = 0;
      if (GLU != 0) u = subgroupAdd(sum[min(r + kHalf, NR - 1) * NT + t]);
      // Outputs are spread over the lanes, so that their loads and stores go out together.
      if (gl_SubgroupInvocationID != (r * NT + t) % gl_SubgroupSize || t >= used || r >= left) continue;
      store_sum(first, r, t, v, u);
    }
  }
}

float split_sum(uint at) {
  float v = 0;
  for (uint part = 0; part < SPLIT; ++part) v += partial[part * NR * NT + at];
  return v;
}

void sum_squares(uint group, uint used) {
  [[unroll]] for (uint t = 0; t < NT; ++t) {
    const float sum = subgroupAdd(squares[t]);
    if (subgroupElect()) subgroup_squares[min(gl_SubgroupID, 31) * NT + t] = sum;
  }
  barrier();  // the subgroups' sums are written before they are added up
  for (uint t = gl_LocalInvocationIndex; t < used; t += gl_WorkGroupSize.x) {
    float sum = 0;
    for (uint i = 0; i < gl_NumSubgroups; ++i) sum += subgroup_squares[i * NT + t];
    store_squares(t, group, gl_NumWorkGroups.x * gl_NumWorkGroups.y, sum);
  }
}

void main() {
  const uint group = gl_WorkGroupID.y * gl_NumWorkGroups.x + gl_WorkGroupID.x;
  const uint used = min(used_rows(), NT);
  if (used == 0) return;
  [[unroll]] for (uint t = 0; t < NT; ++t) squares[t] = 0;
  if (kNormX) {
    [[unroll]] for (uint t = 0; t < NT; ++t) factor[t] = norm_factor(min(t, used - 1));
  }
  if (SPLIT == 1) {
    for (uint team = gl_SubgroupID; team < TEAMS; team += gl_NumSubgroups) {
      const uint first = (group * TEAMS + team) * kHalf;
      if (first >= p.rows) continue;
      compute(first, 0, used);
      store_sums(first, used);
    }
    if (kNormY) sum_squares(group, used);
    return;
  }
  const uint team = gl_SubgroupID / SPLIT, part = gl_SubgroupID % SPLIT, first = (group * TEAMS + team) * kHalf;
  if (first < p.rows) {
    compute(first, part, used);
    [[unroll]] for (uint i = 0; i < NR * NT; ++i) {
      const float v = subgroupAdd(sum[i]);
      if (gl_SubgroupInvocationID == i % gl_SubgroupSize) partial[gl_SubgroupID * NR * NT + i] = v;
    }
  }
  barrier();  // the partial sums are written before they are read
  const uint base = team * SPLIT * NR * NT;
  for (uint i = part * gl_SubgroupSize + gl_SubgroupInvocationID; i < kHalf * NT; i += SPLIT * gl_SubgroupSize) {
    const uint r = i / NT, t = i % NT;
    if (t < used && first + r < p.rows)
      store_sum(first, r, t, split_sum(base + i), GLU == 0 ? 0.0 : split_sum(base + kHalf * NT + i));
  }
  if (kNormY) sum_squares(group, used);
}
