// One part of one row of logits: its largest logit with the lowest id that has it, and the moments of its softmax. Grid
// (parts, rows of logits). Reads each logit once, 16 bytes an invocation; the last vocabulary % 4 single.
#version 460
#extension GL_GOOGLE_include_directive : require
layout(local_size_x_id = 0) in;
#include "reduce.glsl"
#include "rows.glsl"
#include "params_sample.h"
#include "sample/logits.glsl"

layout(push_constant, scalar) uniform Push { SamplePush p; };
layout(buffer_reference, scalar, buffer_reference_align = 4) writeonly buffer PartsRef { LogitPart v[]; };

const uint kNone = 0xffffffffu;

float highest = kLowestLogit;
uint token = kNone;
float total = 0;
float moment = 0;
float bad = 0;  // kNanInSum where a logit is NaN

// exp of something far below underflows to zero; its product with the exponent must not become NaN.
void rescale_to(float best) {
  const float d = max(logit_difference(highest, best), -200.0);
  const float factor = exp(d);
  moment = (moment + d * total) * factor;
  total *= factor;
  highest = best;
}

void add4(vec4 raw, uint id, uint count) {
  vec4 v;
  for (uint i = 0; i < 4; ++i) {
    v[i] = i < count ? finite_logit(raw[i]) : kLowestLogit;
    if (i < count && is_nan(raw[i])) bad = kNanInSum;
  }
  const float best = max(max(v.x, v.y), max(v.z, v.w));
  if (best > highest || token == kNone) {
    token = id + (v.x == best ? 0 : v.y == best ? 1 : v.z == best ? 2 : 3);
    rescale_to(best);
  }
  const vec4 d = max(v - highest, vec4(-200.0));
  vec4 e = exp(d);
  for (uint i = 1; i < 4; ++i) e[i] = i < count ? e[i] : 0;
  total += (e.x + e.y) + (e.z + e.w);
  moment += dot(e, d);
}

void main() {
  const uint row = gl_WorkGroupID.y;
  if (row >= min(step_logits(p.step), p.max_runs)) return;
  const uint64_t logits = p.logits + uint64_t(row) * (4 * p.logits_stride);
  const uint quads = (p.vocabulary + 3) / 4;
  const uint share = (quads + p.parts - 1) / p.parts;
  const uint begin = gl_WorkGroupID.x * share, end = min(begin + share, quads);
  for (uint i = begin + gl_LocalInvocationIndex; i < end; i += gl_WorkGroupSize.x) {
    const uint count = min(p.vocabulary - 4 * i, 4);
    if (count == 4) {
      add4(load_f32x4(logits, 16 * i), 4 * i, 4);
    } else {
      vec4 v = vec4(0);
      for (uint e = 0; e < count; ++e) v[e] = load_f32(logits, 16 * i + 4 * e);
      add4(v, 4 * i, count);
    }
  }
  const float best = workgroup_max(highest);
  // Ids are exact in fp32 up to 2^24; the larger of the negated ones is the lowest.
  const uint lowest_id = uint(-workgroup_max(token != kNone && highest == best ? -float(token) : -float(p.vocabulary)));
  rescale_to(best);
  const float sum = workgroup_sum(total + bad);
  const float sum_moment = workgroup_sum(moment);
  if (gl_LocalInvocationIndex == 0)
    PartsRef(p.scratch).v[row * p.parts + gl_WorkGroupID.x] = LogitPart(best, min(lowest_id, p.vocabulary), sum, sum_moment);
}
