// The experts of a few rows of the step (up to 16), as matmul/gemv.comp: a subgroup computes NR rows of W, lanes go along the
// columns a unit (16 bytes) at a time, sums are reduced over the subgroup at the end; TEAMS groups of rows a workgroup.
// Up: gl_WorkGroupID.z is a pair; the first pair of an expert computes all rows of x that chose it (NT at most), the others
// leave: y = f(gate x) * up x for each pair, half of the NR rows are of the gate. Down: gl_WorkGroupID.z is a row of the step;
// lanes go through the columns of all its experts as if they were one matrix: the weighted sum, NT is 1.
// Moves an expert's matrix once (up), or once for each row that chose it (down).
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
layout(constant_id = 7) const uint ACTIVATION = 1;
#include "load.glsl"
#include "params_matmul.h"
#include "params_moe.h"
layout(push_constant, scalar) uniform Push { MoePush p; };
#include "matmul/x4.glsl"
#include "moe/expert.glsl"
#include "moe/routes.glsl"
#include "quant/decode.glsl"

// kMoeGated is never there with kMoeDown.
const bool kDown = (FLAGS & kMoeDown) != 0, kGated = (FLAGS & kMoeGated) != 0;
const uint kParts = (FLAGS & kMoeGated) != 0 ? 2 : 1;
const uint kHalf = NR / kParts;  // rows of y that a team computes
const uint kGroups = kUnit / 4;           // that a unit is decoded in
const uint kTerms = (FLAGS & kMoeDown) != 0 ? 16 : 1;  // kMoeMaxChosen

shared uint64_t slabs[kTerms];  // of the experts that are summed up
shared float factors[kTerms];

float sum[NR * NT];
Unit w[NR];
uint pairs[NT];       // of the expert (up)
uint64_t x_rows[NT];  // addresses
uint count = 1;       // of them in use

Weights planes_of(uint64_t slab, uint row) {
  return weights_at(Weights(slab + uint64_t(p.plane0), slab + uint64_t(p.plane1), slab + uint64_t(p.plane2), p.row_bytes0,
                            p.row_bytes1, p.row_bytes2, p.group),
                    row);
}

// Finds the pairs of the expert of pair `mine`; false where an earlier row has one of them. A row has an expert once: a bit for
// each row, and four bits that say which choice it is. All lanes of a subgroup together.
bool find_pairs(uint mine) {
  pairs[0] = mine;
  if (NT == 1) return true;
  const uint expert = pair_expert(mine), all = used_tokens() * p.chosen;
  uvec3 found = uvec3(0);
  for (uint i = gl_SubgroupInvocationID; i < all; i += gl_SubgroupSize) {
    if (pair_expert(i) != expert) continue;
    const uint row = i / p.chosen, choice = (i % p.chosen) << (4 * (row & 7));
    found |= uvec3(1u << (row & 15), row < 8 ? choice : 0, row < 8 ? 0 : choice);
  }
  found = uvec3(subgroupOr(found.x), subgroupOr(found.y), subgroupOr(found.z));
  if ((found.x & ((1u << (mine / p.chosen)) - 1)) != 0) return false;
  count = clamp(bitCount(found.x), 1, NT);
  [[unroll]] for (uint t = 0; t < NT; ++t) {
    if (found.x == 0) {
      pairs[t] = mine;  // past the last: read, not written
      continue;
    }
    const uint row = findLSB(found.x);
    found.x &= found.x - 1;
    pairs[t] = row * p.chosen + min(((row < 8 ? found.y : found.z) >> (4 * (row & 7))) & 15, p.chosen - 1);
  }
  return true;
}

// Group i of the units in w times the same columns of x.
void multiply(uint unit, uint i, float factor) {
  const uint column = column4(unit, i);
  vec4 w4[NR];
  [[unroll]] for (uint r = 0; r < NR; ++r) w4[r] = decode4(w[r], i);
  [[unroll]] for (uint t = 0; t < NT; ++t) {
    if (t >= count) break;
    vec4 x4 = load_x4(x_rows[t], 0, column);
    if (kDown) x4 *= factor;
    [[unroll]] for (uint r = 0; r < NR; ++r) sum[r * NT + t] += dot(w4[r], x4);
  }
}

void compute(uint first, uint row, uint terms) {
  const uint left = p.rows - first, units = (p.cols + kUnit - 1) / kUnit;
  [[unroll]] for (uint i = 0; i < NR * NT; ++i) sum[i] = 0;
  for (uint at = gl_SubgroupInvocationID; at < terms * units; at += gl_SubgroupSize) {
    const uint term = kDown ? min(at / units, kTerms - 1) : 0, unit = at - term * units;
    const Weights gate = planes_of(slabs[term], first);
    const Weights up = planes_of(slabs[term], first + p.rows);  // used with a gate alone
    if (kDown) x_rows[0] = p.x + uint64_t(row * p.chosen + term) * uint64_t(4 * p.x_stride);
    [[unroll]] for (uint r = 0; r < NR; ++r) {
      if (r < kHalf) w[r] = load_unit(gate, min(r, left - 1), unit);
      else w[r] = load_unit(up, min(r - kHalf, left - 1), unit);
    }
    // Unrolled, compilers load all of x ahead, and run out of registers when that is many rows.
    if (NT <= 2) {
      [[unroll]] for (uint i = 0; i < kGroups; ++i) multiply(unit, i, factors[term]);
    } else {
      [[dont_unroll]] for (uint i = 0; i < kGroups; ++i) multiply(unit, i, factors[term]);
    }
  }
}

void store_up(uint pair, uint row, float g, float u) {
  if ((FLAGS & kMoeWeighted) != 0) {
    const float weight = pair_weight(pair);
    g *= weight, u *= weight;
  }
  if ((FLAGS & kMoeBias) != 0) {
    const uint64_t bias = slabs[0] + uint64_t(p.bias);
    g += load_f32(bias, 4 * row);
    if (kGated) u += load_f32(bias, 4 * (p.rows + row));
  }
  store_f32(p.y + uint64_t(pair) * uint64_t(4 * p.y_stride), 4 * row, expert_activation(g, u));
}

void store_down(uint t, uint row, float v) {
  if ((FLAGS & kMoeBias) != 0)
    for (uint j = 0; j < p.chosen; ++j) v += factors[j] * load_f32(slabs[j] + uint64_t(p.bias), 4 * row);
  v *= p.factor;
  if ((FLAGS & kMoeResidual) != 0) v += load_f32(p.residual + uint64_t(t) * uint64_t(4 * p.residual_stride), 4 * row);
  store_f32(p.y + uint64_t(t) * uint64_t(4 * p.y_stride), 4 * row, v);
}

void store_sums(uint first, uint token) {
  const uint left = p.rows - first;
  [[unroll]] for (uint r = 0; r < kHalf; ++r) {
    [[unroll]] for (uint t = 0; t < NT; ++t) {
      const float v = subgroupAdd(sum[r * NT + t]);
      float u = 0;
      if (kGated) u = subgroupAdd(sum[min(r + kHalf, NR - 1) * NT + t]);
      // Outputs are spread over the lanes, so that their loads and stores go out together.
      if (gl_SubgroupInvocationID != (r * NT + t) % gl_SubgroupSize || t >= count || r >= left) continue;
      if (kDown) store_down(token, first + r, v);
      else store_up(pairs[t], first + r, v, u);
    }
  }
}

void main() {
  const uint group = gl_WorkGroupID.y * gl_NumWorkGroups.x + gl_WorkGroupID.x, item = gl_WorkGroupID.z;
  const uint used = used_tokens();
  if (item >= (kDown ? used : used * p.chosen)) return;
  const uint terms = kDown ? min(p.chosen, kMoeMaxChosen) : 1;
  for (uint i = gl_LocalInvocationIndex; i < terms; i += gl_WorkGroupSize.x) {
    const uint pair = kDown ? item * p.chosen + i : item;
    slabs[i] = slab_of(pair_expert(pair));
    factors[i] = kDown && (FLAGS & kMoeWeighted) == 0 ? pair_weight(pair) : 1;
  }
  barrier();  // the experts are written before they are read
  if (!kDown) {
    if (!find_pairs(item)) return;
    [[unroll]] for (uint t = 0; t < NT; ++t) x_rows[t] = p.x + uint64_t(pairs[t] / p.chosen) * uint64_t(4 * p.x_stride);
  }
  for (uint team = gl_SubgroupID; team < TEAMS; team += gl_NumSubgroups) {
    const uint first = (group * TEAMS + team) * kHalf;
    if (first >= p.rows) continue;
    compute(first, item, terms);
    store_sums(first, item);
  }
}
