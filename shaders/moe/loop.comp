// The experts of a few rows of the step, as decode.comp, on drivers that run a subgroup as the elements of CPU vectors
// (matmul/loop.comp, whose rules for loops hold here). Up: gl_WorkGroupID.x is a pair. Down: it is a row of the step, whose experts
// follow one another. A workgroup computes p.turns times NR rows of W; rows past the end are clamped and not written. Moves
// an expert's matrix once for each row that chose it.
#version 460
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
#extension GL_KHR_shader_subgroup_basic : require
#extension GL_KHR_shader_subgroup_ballot : require
#extension GL_KHR_shader_subgroup_shuffle : require
layout(local_size_x_id = 0) in;
layout(constant_id = 3) const uint LANES = 8;
layout(constant_id = 4) const uint NR = 4;
layout(constant_id = 5) const uint COLS = 64;
layout(constant_id = 6) const uint FLAGS = 0;
layout(constant_id = 7) const uint ACTIVATION = 1;
layout(constant_id = 8) const uint GROUP = 64;
const uint NT = 1;
#include "load.glsl"
#include "params_moe.h"
layout(push_constant, scalar) uniform Push { MoeLoopPush p; };
#include "moe/expert.glsl"
#include "moe/routes.glsl"
#include "quant/decode.glsl"
#include "matmul/loop_core.glsl"

// kMoeGated is never there with kMoeDown.
const bool kDown = (FLAGS & kMoeDown) != 0, kGated = (FLAGS & kMoeGated) != 0;
const uint kParts = (FLAGS & kMoeGated) != 0 ? 2 : 1;
const uint kSplit = NR / kParts;  // rows of y at a time
const uint kBatches = (kSplit + LANES - 1) / LANES;

float total[NR];  // of all experts

void add_expert(uint pair, uint first) {
  const uint64_t slab = slab_of(pair_expert(pair));
  const Weights all = Weights(slab + uint64_t(p.plane0), slab + uint64_t(p.plane1), slab + uint64_t(p.plane2),
                              padded(row_bytes0(COLS)), padded(row_bytes1(COLS)), padded(row_bytes2(COLS)), 0);
  [[unroll]] for (uint r = 0; r < NR; ++r) {
    const uint at = r < kSplit ? first + r : p.rows + first + r - kSplit;
    row[r] = weights_at(all, min(at, kParts * p.rows - 1));
    sum[r] = 0;
  }
  x[0] = p.x + uint64_t(kDown ? pair : pair / p.chosen) * uint64_t(4 * p.x_stride);
  if (p.blocks > 0) {
    uint b = 0;
    [[dont_unroll]] do {
      add_block(b, kBlock);
    } while (++b < p.blocks);
  }
  if (kTail != 0) add_block(kBlocks, kTail);
  const float by = kDown && (FLAGS & kMoeWeighted) == 0 ? pair_weight(pair) : 1;
  [[unroll]] for (uint r = 0; r < NR; ++r) total[r] = kDown ? fma(by, sum[r], total[r]) : sum[r];
}

void store_up(uint pair, uint at, float g, float u) {
  if ((FLAGS & kMoeWeighted) != 0) {
    const float weight = pair_weight(pair);
    g *= weight, u *= weight;
  }
  if ((FLAGS & kMoeBias) != 0) {
    const uint64_t bias = slab_of(pair_expert(pair)) + uint64_t(p.bias);
    g += load_f32(bias, 4 * at);
    if (kGated) u += load_f32(bias, 4 * (p.rows + at));
  }
  store_f32(p.y + uint64_t(pair) * uint64_t(4 * p.y_stride), 4 * at, expert_activation(g, u));
}

void store_down(uint t, uint at, float v) {
  if ((FLAGS & kMoeBias) != 0)
    for (uint j = 0; j < p.chosen; ++j) {
      const uint pair = t * p.chosen + j;
      const float by = (FLAGS & kMoeWeighted) == 0 ? pair_weight(pair) : 1;
      v += by * load_f32(slab_of(pair_expert(pair)) + uint64_t(p.bias), 4 * at);
    }
  v *= p.factor;
  if ((FLAGS & kMoeResidual) != 0) v += load_f32(p.residual + uint64_t(t) * uint64_t(4 * p.residual_stride), 4 * at);
  store_f32(p.y + uint64_t(t) * uint64_t(4 * p.y_stride), 4 * at, v);
}

void compute(uint first, uint item) {
  [[unroll]] for (uint r = 0; r < NR; ++r) total[r] = 0;
  if (kDown) {
    if (p.chosen > 0) {
      uint j = 0;
      [[dont_unroll]] do {
        add_expert(item * p.chosen + j, first);
      } while (++j < p.chosen);
    }
  } else {
    add_expert(item, first);
  }
  const uint used = kDown ? used_tokens() : used_tokens() * p.chosen;
  [[unroll]] for (uint b = 0; b < kBatches; ++b) {
    float v[LANES], u[LANES];
    [[unroll]] for (uint i = 0; i < LANES; ++i) {
      v[i] = b * LANES + i < kSplit ? total[min(b * LANES + i, NR - 1)] : 0;
      u[i] = kGated && b * LANES + i < kSplit ? total[min(kSplit + b * LANES + i, NR - 1)] : 0;
    }
    const float g = reduce(v), up = kGated ? reduce(u) : 0;
    const uint o = b * LANES + lane, at = first + o;
    if (o >= kSplit || at >= p.rows || item >= used) continue;
    if (kDown) store_down(item, at, g);
    else store_up(item, at, g, up);
  }
}

void main() {
  const uint group = gl_WorkGroupID.z * gl_NumWorkGroups.y + gl_WorkGroupID.y, first = group * p.turns * kSplit;
  if (p.turns > 0) {
    uint turn = 0;
    [[dont_unroll]] do {
      compute(first + turn * kSplit, gl_WorkGroupID.x);
    } while (++turn < p.turns);
  }
}
