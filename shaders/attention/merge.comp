// Merges the splits of decode.comp: one workgroup a (query head, row), four dims an invocation. Splits that saw no key are
// skipped unread; a row with no key at all becomes zero.
#version 460
#extension GL_GOOGLE_include_directive : require
layout(local_size_x_id = 0) in;
layout(constant_id = 3) const uint VALUE_DIM = 64;
layout(constant_id = 4) const uint SCORES = 0;
#include "attention/scores.glsl"
#include "rows.glsl"
#include "params_attention.h"

layout(push_constant, scalar) uniform Push { AttentionPush p; };

const uint kPart = kPartialHeader + VALUE_DIM;

void main() {
  const uint head = gl_WorkGroupID.x, t = gl_WorkGroupID.y;
  if (t >= step_rows(p.step)) return;
  const uint64_t parts = p.scratch + uint64_t((t * gl_NumWorkGroups.x + head) * p.splits) * (4 * kPart);
  float best = kNoScore;
  for (uint s = 0; s < p.splits; ++s) {
    const vec4 header = load_f32x4(parts, 4 * kPart * s);
    if (header.y > 0) best = max(best, header.x);
  }
  for (uint d = gl_LocalInvocationIndex; d < VALUE_DIM / 4; d += gl_WorkGroupSize.x) {
    vec4 sum = vec4(0);
    float weight = 0;
    for (uint s = 0; s < p.splits; ++s) {
      const vec4 header = load_f32x4(parts, 4 * kPart * s);
      if (!(header.y > 0)) continue;
      const float factor = exp(header.x - best);
      weight += header.y * factor;
      sum += load_f32x4(parts, 4 * (kPart * s + kPartialHeader) + 16 * d) * factor;
    }
    store_f32x4(p.y + uint64_t(t) * (4 * p.y_stride), 4 * head * VALUE_DIM + 16 * d,
                weight > 0 ? sum / with_sink(weight, best, p.sinks, head) : vec4(0));
  }
}
