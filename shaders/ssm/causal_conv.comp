// Causal depthwise convolution of the step's rows, four channels an invocation; grid (groups over the channels, rows). Inputs
// before a run come from the state that it reads; whoever has a run's last row writes its last TAPS - 1 inputs to the state
// that it writes. Loads are 16 bytes but for the last channels % 4. Moves 4 * (TAPS + 1) bytes a channel and row, from cache.
#version 460
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
layout(local_size_x_id = 0) in;
layout(constant_id = 3) const uint TAPS = 4;
layout(constant_id = 4) const uint ACTIVATION = 0;
layout(constant_id = 5) const uint FLAGS = 0;
#include "activation.glsl"
#include "state.glsl"
#include "params_causal_conv.h"

layout(push_constant, scalar) uniform Push { CausalConvPush p; };

// `n` channels from byte `offset` on.
vec4 load_channels(uint64_t base, uint offset, uint n) {
  if (n == 4) return load_f32x4(base, offset);
  vec4 v = vec4(0);
  for (uint i = 0; i < n; ++i) v[i] = load_f32(base, offset + 4 * i);
  return v;
}

void store_channels(uint64_t base, uint offset, uint n, vec4 v) {
  if (n == 4) {
    store_f32x4(base, offset, v);
    return;
  }
  for (uint i = 0; i < n; ++i) store_f32(base, offset + 4 * i, v[i]);
}

uint state_stride() { return 4 * ((p.channels + 3) & ~3u); }  // bytes of one input in the state

// The input `back` rows before row t, which is row `index` of its run.
vec4 input_at(Run run, uint t, uint index, uint back, uint c, uint n) {
  if (back <= index) {
    const vec4 x = load_channels(p.x + uint64_t(t - back) * (4 * p.x_stride), 4 * c, n);
    if ((FLAGS & kConvGateX) == 0) return x;
    return x * load_channels(p.x_gate + uint64_t(t - back) * (4 * p.x_gate_stride), 4 * c, n);
  }
  if (!state_reads(run)) return vec4(0);
  return load_channels(state_in(p.state, run), (TAPS - 1 + index - back) * state_stride() + 4 * c, n);
}

void main() {
  const uint t = gl_WorkGroupID.y;
  if (t >= step_rows(p.step)) return;
  const Run run = step_run(p.step, min(step_row(p.step, t).run, kMaxRuns - 1));
  const uint index = t - min(run.first_row, t);
  const bool last = index + 1 == run.rows && state_writes(run);
  const uint64_t y = p.y + uint64_t(t) * (4 * p.y_stride);
  for (uint c = 4 * gl_GlobalInvocationID.x; c < p.channels; c += 4 * gl_WorkGroupSize.x * gl_NumWorkGroups.x) {
    const uint n = min(4, p.channels - c);
    vec4 sum = (FLAGS & kConvBias) != 0 ? load_channels(p.bias, 4 * c, n) : vec4(0);
    [[unroll]] for (uint k = 0; k < TAPS; ++k) {
      const uint back = TAPS - 1 - k;
      vec4 w = vec4(0);
      for (uint i = 0; i < n; ++i) w[i] = load_f32(p.weight, 4 * ((c + i) * TAPS + k));
      const vec4 u = input_at(run, t, index, back, c, n);
      sum += w * u;
      // The newest TAPS - 1 inputs become the state, the row's own the last of them.
      if (last && k > 0) store_channels(state_out(p.state, run), (k - 1) * state_stride() + 4 * c, n, u);
    }
    vec4 result = activate4(ACTIVATION, sum);
    if ((FLAGS & kConvGateY) != 0) result *= load_channels(p.y_gate + uint64_t(t) * (4 * p.y_gate_stride), 4 * c, n);
    store_channels(y, 4 * c, n, result);
  }
}
