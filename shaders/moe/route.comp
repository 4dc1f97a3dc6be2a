// Chooses experts for one row a workgroup: scores, groups, the best few one after the other (of equal ones the lowest index),
// weights. Invocation i keeps experts (and groups) i, i + workgroup, ... in shared memory: all but the groups' sums touch
// their own alone. A row with a NaN or +inf gets NaN weights; ids are in range whatever the logits.
#version 460
#extension GL_GOOGLE_include_directive : require
layout(local_size_x_id = 0) in;
#include "load.glsl"
#include "params_moe.h"
#include "reduce.glsl"
#include "rows.glsl"
#include "sample/logits.glsl"

layout(push_constant, scalar) uniform Push { MoeRoutePush p; };
layout(buffer_reference, scalar, buffer_reference_align = 4) buffer CountRef { uint v; };

#define kTaken uintBitsToFloat(0xff800000u)  // -infinity: below all that can be chosen
shared float choice[2 * kMoeMaxExperts];            // what experts are chosen by, then what groups are
shared float picked_logit[kMoeMaxChosen];
shared uint picked[kMoeMaxChosen];

// The index of the largest of n values from choice[first] on; it is not found again.
uint take_best(uint first, uint n) {
  float best = kTaken;
  for (uint i = gl_LocalInvocationIndex; i < n; i += gl_WorkGroupSize.x) best = max(best, choice[first + i]);
  best = workgroup_max(best);
  float lowest = float(n);
  for (uint i = gl_LocalInvocationIndex; i < n; i += gl_WorkGroupSize.x)
    if (choice[first + i] == best) lowest = min(lowest, float(i));
  const uint found = min(uint(-workgroup_max(-lowest)), n - 1);
  if (found % gl_WorkGroupSize.x == gl_LocalInvocationIndex) choice[first + found] = kTaken;
  return found;
}

void choose_groups() {
  const uint each = p.experts / p.groups;
  barrier();  // what experts are chosen by is written before groups are ranked
  for (uint g = gl_LocalInvocationIndex; g < p.groups; g += gl_WorkGroupSize.x) {
    float best = kTaken, second = kTaken;
    for (uint i = g * each; i < (g + 1) * each; ++i) {
      const float v = choice[i];
      second = max(second, min(v, best));
      best = max(best, v);
    }
    const bool two = (p.flags & kRouteSumOfTwo) != 0 && each > 1;
    choice[kMoeMaxExperts + g] = two ? finite_logit(best + second) : best;
  }
  for (uint n = 0; n < p.groups_chosen; ++n) take_best(kMoeMaxExperts, p.groups);
  barrier();  // groups are chosen before the experts of the others are struck out
  for (uint i = gl_LocalInvocationIndex; i < p.experts; i += gl_WorkGroupSize.x)
    if (choice[kMoeMaxExperts + min(i / each, p.groups - 1)] != kTaken) choice[i] = kTaken;
}

void main() {
  const uint t = gl_WorkGroupID.x;
  if (t >= min(step_rows(p.step), p.bucket)) return;
  const uint64_t row = p.logits + uint64_t(t) * uint64_t(4 * p.logits_stride);
  const bool bias = (p.flags & kRouteBias) != 0, groups = p.groups > 1;

  float highest = kLowestLogit, bad = 0;
  for (uint i = gl_LocalInvocationIndex; i < p.experts; i += gl_WorkGroupSize.x) {
    const float v = load_f32(row, 4 * i);
    const uint bits = floatBitsToUint(v);
    if ((bits & 0x7fffffffu) > 0x7f800000u || bits == 0x7f800000u) bad = 1;
    choice[i] = finite_logit(v);
    highest = max(highest, choice[i]);
  }
  bad = workgroup_max(bad);
  float sum = 1;
  if (p.score == kRouterSoftmax) {
    highest = workgroup_max(highest);
    sum = 0;
    for (uint i = gl_LocalInvocationIndex; i < p.experts; i += gl_WorkGroupSize.x)
      sum += exp(logit_difference(choice[i], highest));
    sum = workgroup_sum(sum);
  }
  // Scores rise with the logits: where nothing is added to them the logits make the same choice, without rounding.
  if (bias || (groups && (p.flags & kRouteSumOfTwo) != 0)) {
    for (uint i = gl_LocalInvocationIndex; i < p.experts; i += gl_WorkGroupSize.x) {
      float v = choice[i];
      if (p.score == kRouterSoftmax) v = exp(logit_difference(v, highest)) / sum;
      if (p.score == kRouterSigmoid) v = 1 / (1 + exp(-v));
      choice[i] = finite_logit(v + (bias ? load_f32(p.bias, 4 * i) : 0));
    }
  }
  if (groups) choose_groups();

  const uint chosen = min(p.chosen, kMoeMaxChosen);
  for (uint j = 0; j < chosen; ++j) {
    const uint e = take_best(0, p.experts);
    if (gl_LocalInvocationIndex == 0) picked[j] = e, picked_logit[j] = finite_logit(load_f32(row, 4 * e));
  }
  barrier();  // what was picked is written before it is read

  const bool of_chosen = p.score == kRouterSoftmaxOfChosen;
  if (of_chosen) {
    highest = kLowestLogit;
    for (uint j = 0; j < chosen; ++j) highest = max(highest, picked_logit[j]);
  }
  float total = 0, mine = 0;
  for (uint first = 0; first < chosen; first += gl_WorkGroupSize.x) {
    const uint own = first + gl_LocalInvocationIndex;
    total = 0;
    for (uint j = 0; j < chosen; ++j) {
      const float v = picked_logit[j];
      const float s = p.score == kRouterSigmoid ? 1 / (1 + exp(-v)) : exp(logit_difference(v, highest)) / sum;
      total += s;
      if (j == own) mine = s;
    }
    if (own >= chosen) continue;
    if (of_chosen || (p.flags & kRouteNormalize) != 0) mine /= max(total, 1e-20);
    if ((p.flags & kRouteExpertScale) != 0) mine *= load_f32(p.expert_scale, 4 * picked[own]);
    const uint at = 4 * (t * p.chosen + own);
    store_u32(p.ids, at, picked[own]);
    store_f32(p.weights, at, bad > 0 ? uintBitsToFloat(0x7fc00000u) : mine * p.scale);
    if ((p.flags & kRouteUses) != 0) atomicAdd(CountRef(p.uses + uint64_t(4 * picked[own])).v, 1);
  }
}
