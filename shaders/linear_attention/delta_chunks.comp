// The gated delta rule over whole chunks of tokens, for drivers that run invocations as elements of CPU vectors;
// delta_tiles.comp, for GPUs, has the formula. An invocation has a row of the state in its variables; every key and query is
// read once for all of them, and nothing is shared. Grid (rows of the state, heads, runs).
#version 460
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
layout(local_size_x_id = 0) in;
layout(constant_id = 3) const uint KEY4 = 16;   // a fourth of the key dim
layout(constant_id = 4) const uint CHUNK = 16;  // a multiple of 4
#include "run_chunks.glsl"
#include "params_linear_attention.h"
#include "linear_attention/delta.glsl"

layout(push_constant, scalar) uniform Push { DeltaChunksPush p; };

vec4 state[KEY4];
float sums[CHUNK];         // of the row with each token's key or query
float right_sides[CHUNK];  // r, then d

// The row with the vectors of all tokens, that of token t `t * stride` bytes behind the base.
void multiply(uint64_t base, uint stride, uint last) {
  [[unroll]] for (uint t = 0; t < CHUNK; ++t) sums[t] = 0;
  [[unroll]] for (uint key4 = 0; key4 < KEY4; ++key4)
    [[unroll]] for (uint t = 0; t < CHUNK; ++t)
      sums[t] += dot(state[key4], load_f32x4(base, min(t, last) * stride + 16 * key4));
}

// Row t of M or N, `at` bytes behind the chunk, with the right sides. Drivers unroll where bounds do not depend on t.
float mix(uint64_t pairs, uint at, uint t) {
  float sum = 0;
  [[unroll]] for (uint four = 0; four < CHUNK; four += 4) {
    if (four > t) continue;
    const vec4 m = load_f32x4(pairs, at + 4 * four);
    [[unroll]] for (uint j = 0; j < 4; ++j)
      if (four + j <= t) sum += m[j] * right_sides[four + j];
  }
  return sum;
}

void advance(uint64_t pairs, uint64_t k, uint last) {
  // From the last token on: what is overwritten is needed by later ones alone.
  [[unroll]] for (uint n = 1; n <= CHUNK; ++n)
    right_sides[CHUNK - n] = mix(pairs, delta_changes_at(CHUNK - n, 0, CHUNK), CHUNK - n);
  const float decay = load_f32(pairs, delta_token_at(0, CHUNK) + 12);
  [[unroll]] for (uint key4 = 0; key4 < KEY4; ++key4) {
    state[key4] *= decay;
    [[unroll]] for (uint t = 0; t < CHUNK; ++t)
      state[key4] += right_sides[t] * load_f32x4(k, min(t, last) * (4 * p.qkv_stride) + 16 * key4);
  }
}

void main() {
  const uint head = gl_WorkGroupID.y, heads = gl_NumWorkGroups.y, r = gl_WorkGroupID.z, row = gl_GlobalInvocationID.x;
  if (r >= step_runs(p.step)) return;
  const RunChunk run = whole_run(p.step, r);
  if (run.rows == 0) return;
  const uint first = chunks_before(p.step, r, CHUNK), known = min(row, p.value_dim - 1);
  const uint key_head = delta_key_head(head, heads, p.key_heads, p.tiled);
  const uint64_t head_state = uint64_t(head) * (p.value_dim * KEY4 * 16);
  const bool reads = state_reads(run.run);
  [[unroll]] for (uint key4 = 0; key4 < KEY4; ++key4)
    state[key4] = reads ? load_f32x4(state_in(p.state, run.run) + head_state, 16 * (known * KEY4 + key4)) : vec4(0);
  for (uint c = 0; c < chunks_of(run, CHUNK); ++c) {
    const uint rows = min(CHUNK, run.rows - c * CHUNK), last = rows - 1, t0 = run.first + c * CHUNK;
    const uint64_t pairs = delta_pairs(p.pairs, min(first + c, p.chunks - 1), head, heads, CHUNK);
    const uint64_t base = p.qkv + uint64_t(t0) * (4 * p.qkv_stride);
    const uint64_t q = base + uint64_t(key_head * KEY4 * 16), k = q + uint64_t(p.key_heads * KEY4 * 16);
    const uint64_t v = base + uint64_t(2 * p.key_heads * KEY4 * 16 + 4 * head * p.value_dim);
    const uint64_t y = p.y + uint64_t(t0) * (4 * p.y_stride) + uint64_t(4 * head * p.value_dim);
    multiply(k, 4 * p.qkv_stride, last);
    [[unroll]] for (uint t = 0; t < CHUNK; ++t) {
      const vec4 c = load_f32x4(pairs, delta_token_at(t, CHUNK));
      right_sides[t] = c.x * load_f32(v, min(t, last) * (4 * p.qkv_stride) + 4 * known) - c.y * sums[t];
    }
    multiply(q, 4 * p.qkv_stride, last);
    [[unroll]] for (uint t = 0; t < CHUNK; ++t) {
      const float from_state = load_f32(pairs, delta_token_at(t, CHUNK) + 8) * sums[t];
      const float sum = from_state + mix(pairs, delta_outputs_at(t, 0, CHUNK), t);
      if (t < rows && row < p.value_dim) store_f32(y, t * (4 * p.y_stride) + 4 * row, sum);
    }
    advance(pairs, k, last);
  }
  if (!state_writes(run.run) || row >= p.value_dim) return;
  [[unroll]] for (uint key4 = 0; key4 < KEY4; ++key4)
    store_f32x4(state_out(p.state, run.run) + head_state, 16 * (row * KEY4 + key4), state[key4]);
}
