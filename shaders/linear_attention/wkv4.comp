// RWKV-4's attention, one channel an invocation, one run a grid row:
//   y_t = sigmoid(r_t) * (num + e^(first + k_t) v_t) / (den + e^(first + k_t))
//   num, den <- e^decay (num, den) + e^k_t (v_t, 1)
// num and den are kept times e^-top, where top is the largest exponent in them, so that nothing overflows.
#version 460
#extension GL_GOOGLE_include_directive : require
layout(local_size_x_id = 0) in;
#include "state.glsl"
#include "params_linear_attention.h"

layout(push_constant, scalar) uniform Push { Wkv4Push p; };

// (e^a, e^b) times e^-max(a, b).
vec2 exponentials(float a, float b) {
  const float e = exp(-abs(a - b));
  return a >= b ? vec2(1, e) : vec2(e, 1);
}

void main() {
  const uint r = gl_WorkGroupID.y, c = 4 * gl_GlobalInvocationID.x;
  if (r >= step_runs(p.step) || c >= 4 * p.width) return;
  const Run run = step_run(p.step, r);
  const float decay = load_f32(p.decay, c), first = load_f32(p.first, c);
  vec2 sums = vec2(0);
  float top = -1e38;
  if (state_reads(run)) {
    const uint64_t state = state_in(p.state, run);
    sums = vec2(load_f32(state, c), load_f32(state, 4 * p.width + c));
    top = load_f32(state, 8 * p.width + c);
  }
  for (uint i = 0; i < run.rows; ++i) {
    const uint64_t at = uint64_t(run.first_row + i) * (4 * p.stride);
    const float k = load_f32(p.k + at, c), v = load_f32(p.v + at, c);
    vec2 e = exponentials(top, first + k);
    const vec2 seen = e.x * sums + e.y * vec2(v, 1);
    const float gate = 1 / (1 + exp(-load_f32(p.r + at, c)));
    store_f32(p.y + uint64_t(run.first_row + i) * (4 * p.y_stride), c, gate * seen.x / seen.y);
    e = exponentials(top + decay, k);
    sums = e.x * sums + e.y * vec2(v, 1);
    top = max(top + decay, k);
  }
  if (!state_writes(run)) return;
  const uint64_t state = state_out(p.state, run);
  store_f32(state, c, sums.x);
  store_f32(state, 4 * p.width + c, sums.y);
  store_f32(state, 8 * p.width + c, top);
}
