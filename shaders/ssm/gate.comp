// y = norm(x * silu(gate)) * weight, or norm(x) * weight * silu(gate), or x * silu(gate), where the RMS norm is of one group of
// channels. Grid (groups or fewer, rows). Loads are 16 bytes where groups are whole quads. y may be x: an invocation
// reads what it overwrites before it writes, and after the reduction.
#version 460
#extension GL_GOOGLE_include_directive : require
layout(local_size_x_id = 0) in;
layout(constant_id = 3) const uint FLAGS = 0;
#include "activation.glsl"
#include "reduce.glsl"
#include "rows.glsl"
#include "params_ssm.h"

layout(push_constant, scalar) uniform Push { SsmGatePush p; };

const uint kStep = (FLAGS & kSsmGateAligned) != 0 ? 4 : 1;  // floats at a time

vec4 load_part(uint64_t base, uint i) {
  if (kStep == 4) return load_f32x4(base, 4 * i);
  return vec4(load_f32(base, 4 * i), 0, 0, 0);
}

vec4 gate_part(uint64_t gate, uint i) { return activate4(kActivationSilu, p.gate_scale * load_part(gate, i)); }

void gate_group(uint t, uint group) {
  const uint64_t begin = uint64_t(4 * group * p.width);
  const uint64_t x = p.x + uint64_t(t) * (4 * p.x_stride) + begin;
  const uint64_t gate = p.gate + uint64_t(t) * (4 * p.gate_stride) + begin;
  const uint64_t y = p.y + uint64_t(t) * (4 * p.y_stride) + begin;
  const uint64_t weight = p.weight + ((FLAGS & kSsmGateShared) != 0 ? uint64_t(0) : begin);
  const uint first = kStep * gl_LocalInvocationIndex, stride = kStep * gl_WorkGroupSize.x;

  float scale = 1;
  if ((FLAGS & kSsmGateNorm) != 0) {
    vec4 squares = vec4(0);
    for (uint i = first; i < p.width; i += stride) {
      vec4 v = load_part(x, i);
      if ((FLAGS & kSsmGateBefore) != 0) v *= gate_part(gate, i);
      squares += v * v;
    }
    const float sum = workgroup_sum((squares.x + squares.y) + (squares.z + squares.w));
    scale = inversesqrt(sum / float(p.width) + p.eps);
  }
  for (uint i = first; i < p.width; i += stride) {
    vec4 v = scale * load_part(x, i);
    if ((FLAGS & (kSsmGateBefore | kSsmGateAfter)) != 0) v *= gate_part(gate, i);
    if ((FLAGS & kSsmGateWeight) != 0) v *= load_part(weight, i);
    if (kStep == 4)
      store_f32x4(y, 4 * i, v);
    else
      store_f32(y, 4 * i, v.x);
  }
}

void main() {
  const uint t = gl_WorkGroupID.y;
  if (t >= step_rows(p.step)) return;
  for (uint group = gl_WorkGroupID.x; group < p.groups; group += gl_NumWorkGroups.x) gate_group(t, group);
}
