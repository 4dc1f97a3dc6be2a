// Griffin's real-gated linear recurrent unit, one channel an invocation, one run a grid row:
//   h <- a * h + sqrt(1 - a^2) * sigmoid(input gate) * x with log a = decay * sigmoid(recurrent gate);  y = h * f(y_gate)
// where a sequence begins, h is what is gated of x. PARTS of a run go at once: each computes what it adds to h and how much it
// leaves of it, then its rows from the h in front of it. Reads 16 bytes a channel and row, with several parts 28; writes 4.
#version 460
#extension GL_GOOGLE_include_directive : require
layout(local_size_x_id = 0) in;
layout(constant_id = 3) const uint PARTS = 1;
layout(constant_id = 4) const uint ACTIVATION = 0;
#include "activation.glsl"
#include "run_chunks.glsl"
#include "params_linear_attention.h"

layout(push_constant, scalar) uniform Push { RgLruPush p; };

const uint kChannels = gl_WorkGroupSize.x / PARTS;

shared vec2 ends[PARTS == 1 ? 1 : gl_WorkGroupSize.x];  // [part][channel]: the factor of h, and what is added

float row_value(uint64_t base, uint t, uint stride, uint c) { return load_f32(base + uint64_t(t) * (4 * stride), c); }

float sigmoid(float x) { return activate(kActivationSigmoid, x); }

// e^x - 1 for x <= 0; as a series where the difference would lose digits.
float exp_minus_1(float x) {
  if (x < -0.25) return exp(x) - 1;
  return x * (1 + x * (0.5 + x * (1.0 / 6 + x * (1.0 / 24 + x * (1.0 / 120 + x * (1.0 / 720))))));
}

// The factor of h in row t, and what is added. 1 - a^2 is (1 - a) (1 + a), so that nothing is lost where a is almost 1.
vec2 change_at(uint t, bool begins, uint c, float decay, float input_bias, float recurrent_bias) {
  const float rate = sigmoid(row_value(p.recurrent_gate, t, p.gate_stride, c) + recurrent_bias);
  const float gated = sigmoid(row_value(p.input_gate, t, p.gate_stride, c) + input_bias) * row_value(p.x, t, p.x_stride, c);
  const float lost = -exp_minus_1(decay * rate), a = 1 - lost;
  return vec2(a, begins ? gated : sqrt(lost * (1 + a)) * gated);
}

void main() {
  const uint r = gl_WorkGroupID.y;
  if (r >= step_runs(p.step)) return;
  const RunChunk run = whole_run(p.step, r);
  const uint part = gl_LocalInvocationIndex / kChannels, lane = gl_LocalInvocationIndex % kChannels;
  const uint channel = gl_WorkGroupID.x * kChannels + lane;
  // Those beyond the last channel go along with no rows: the barrier is for all.
  const bool there = channel < p.width;
  const uint c = 4 * min(channel, p.width - 1);
  const uint rows = there ? run.rows : 0, size = (rows + PARTS - 1) / PARTS;
  const uint first = run.first + min(part * size, rows), end = run.first + min((part + 1) * size, rows);

  const float decay = load_f32(p.decay, c);
  const float input_bias = load_f32(p.input_bias, c), recurrent_bias = load_f32(p.recurrent_bias, c);
  const bool known = state_reads(run.run);
  float h = known ? load_f32(state_in(p.state, run.run), c) : 0;
  if (PARTS > 1) {
    vec2 sum = vec2(1, 0);
    for (uint t = first; t < end; ++t) {
      const vec2 change = change_at(t, !known && t == run.first, c, decay, input_bias, recurrent_bias);
      sum = vec2(change.x * sum.x, change.x * sum.y + change.y);
    }
    ends[gl_LocalInvocationIndex] = sum;
    barrier();  // the ends are written before the parts behind them read them
    for (uint before = 0; before < part; ++before) {
      const vec2 change = ends[before * kChannels + lane];
      h = change.x * h + change.y;
    }
  }
  for (uint t = first; t < end; ++t) {
    const vec2 change = change_at(t, !known && t == run.first, c, decay, input_bias, recurrent_bias);
    h = change.x * h + change.y;
    const float gate = activate(ACTIVATION, row_value(p.y_gate, t, p.y_gate_stride, c));
    store_f32(p.y + uint64_t(t) * (4 * p.y_stride), c, h * gate);
  }
  if (there && part == PARTS - 1 && state_writes(run.run)) store_f32(state_out(p.state, run.run), c, h);
}
