// The gated delta rule over whole chunks of tokens, for GPUs (delta_chunks.comp: the same for CPUs). With S the state in
// front of a chunk, M and N what delta_pairs.comp wrote and the coefficients c of a token:
//   r_t = c.x v_t - c.y S k_t;  d_t = sum over i of M_ti r_i;  y_t = c.z S q_t + sum over i of N_ti r_i
//   S <- c.w S + sum over t of d_t k_t^T
// A workgroup has 4 * ROWS4 rows of S and the keys and queries of a chunk in shared memory, read once for those rows. In
// products an invocation takes four rows and a token (CHUNK * ROWS4 of them or more), in changes of S four floats of each
// of 4 * SHARE rows. Grid (rows of the state, heads, runs).
#version 460
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
layout(local_size_x_id = 0) in;
layout(constant_id = 3) const uint KEY4 = 16;   // a fourth of the key dim
layout(constant_id = 4) const uint CHUNK = 16;  // a multiple of 4
layout(constant_id = 5) const uint ROWS4 = 8;
layout(constant_id = 6) const uint SHARE = 2;  // divides ROWS4
layout(constant_id = 7) const uint STEP = 2;   // quads of a key that products take at once; divides KEY4
#include "run_chunks.glsl"
#include "params_linear_attention.h"
#include "linear_attention/delta.glsl"

layout(push_constant, scalar) uniform Push { DeltaChunksPush p; };

// Rows of other tokens, and fours of rows, begin in other banks.
const uint kTokenQuads = KEY4 | 1;
const uint kFourQuads = 4 * KEY4 + 1;

shared vec4 state[ROWS4 * kFourQuads];     // [four][row of it][key]
shared vec4 keys[CHUNK * kTokenQuads];     // [token][key]
shared vec4 queries[CHUNK * kTokenQuads];  // [token][key]
shared vec4 mixes[CHUNK * CHUNK / 2];      // M, N
shared vec4 right_sides[CHUNK * ROWS4];    // [token][four]: r
shared vec4 changes[CHUNK * ROWS4];        // [token][four]: d

uint state_at(uint four, uint row, uint key4) { return four * kFourQuads + row * KEY4 + key4; }
// The first row of a four, in its head.
uint row_of(uint four) { return 4 * (gl_WorkGroupID.x * ROWS4 + four); }

void stage(uint64_t q, uint64_t k, uint64_t pairs, uint last) {
  for (uint at = gl_LocalInvocationIndex; at < CHUNK * KEY4; at += gl_WorkGroupSize.x) {
    const uint token = at / KEY4, key4 = at % KEY4, offset = min(token, last) * (4 * p.qkv_stride) + 16 * key4;
    keys[token * kTokenQuads + key4] = load_f32x4(k, offset);
    queries[token * kTokenQuads + key4] = load_f32x4(q, offset);
  }
  for (uint at = gl_LocalInvocationIndex; at < CHUNK * CHUNK / 2; at += gl_WorkGroupSize.x)
    mixes[at] = load_f32x4(pairs, 16 * at);
}

// Four rows of the state with a token's key and query.
void multiply(uint token, uint four, out vec4 with_key, out vec4 with_query) {
  with_key = with_query = vec4(0);
  [[dont_unroll]] for (uint first = 0; first < KEY4; first += STEP)
    [[unroll]] for (uint at = 0; at < STEP; ++at) {
      const uint key4 = first + at;
      const vec4 k = keys[token * kTokenQuads + key4], q = queries[token * kTokenQuads + key4];
      [[unroll]] for (uint row = 0; row < 4; ++row) {
        const vec4 s = state[state_at(four, row, key4)];
        [[unroll]] for (uint i = 0; i < 4; ++i) with_key[row] += s[i] * k[i], with_query[row] += s[i] * q[i];
      }
    }
}

// d of a token, and what is added to its y.
void mix(uint token, uint four, out vec4 change, inout vec4 y) {
  change = vec4(0);
  [[dont_unroll]] for (uint i4 = 0; i4 < CHUNK / 4; ++i4) {
    const vec4 m = mixes[token * (CHUNK / 4) + i4], n = mixes[(CHUNK + token) * (CHUNK / 4) + i4];
    [[unroll]] for (uint i = 0; i < 4; ++i) {
      const vec4 r = right_sides[(4 * i4 + i) * ROWS4 + four];
      change += m[i] * r, y += n[i] * r;
    }
  }
}

// Four floats of each of the rows of SHARE fours from `first` on.
void advance(uint first, uint key4, float decay) {
  vec4 s[4 * SHARE];
  [[unroll]] for (uint row = 0; row < 4 * SHARE; ++row) s[row] = decay * state[state_at(first + row / 4, row % 4, key4)];
  [[dont_unroll]] for (uint t = 0; t < CHUNK; t += STEP)
    [[unroll]] for (uint at = 0; at < STEP; ++at) {
      const uint token = t + at;
      const vec4 k = keys[token * kTokenQuads + key4];
      [[unroll]] for (uint four = 0; four < SHARE; ++four) {
        const vec4 d = changes[token * ROWS4 + first + four];
        [[unroll]] for (uint row = 0; row < 4; ++row) s[4 * four + row] += d[row] * k;
      }
    }
  [[unroll]] for (uint row = 0; row < 4 * SHARE; ++row) state[state_at(first + row / 4, row % 4, key4)] = s[row];
}

void load_state(Run run, uint head) {
  const uint64_t base = state_in(p.state, run) + uint64_t(head) * (p.value_dim * KEY4 * 16);
  for (uint at = gl_LocalInvocationIndex; at < 4 * ROWS4 * KEY4; at += gl_WorkGroupSize.x) {
    const uint row = at / KEY4, key4 = at % KEY4;
    const bool known = state_reads(run) && row_of(0) + row < p.value_dim;
    state[state_at(row / 4, row % 4, key4)] = known ? load_f32x4(base, 16 * ((row_of(0) + row) * KEY4 + key4)) : vec4(0);
  }
}

void store_state(Run run, uint head) {
  const uint64_t base = state_out(p.state, run) + uint64_t(head) * (p.value_dim * KEY4 * 16);
  for (uint at = gl_LocalInvocationIndex; at < 4 * ROWS4 * KEY4; at += gl_WorkGroupSize.x) {
    const uint row = at / KEY4, key4 = at % KEY4;
    if (row_of(0) + row < p.value_dim)
      store_f32x4(base, 16 * ((row_of(0) + row) * KEY4 + key4), state[state_at(row / 4, row % 4, key4)]);
  }
}

void main() {
  const uint head = gl_WorkGroupID.y, heads = gl_NumWorkGroups.y, r = gl_WorkGroupID.z;
  if (r >= step_runs(p.step)) return;
  const RunChunk run = whole_run(p.step, r);
  if (run.rows == 0) return;
  const uint first = chunks_before(p.step, r, CHUNK);
  const uint key_head = delta_key_head(head, heads, p.key_heads, p.tiled);
  const uint lane = gl_LocalInvocationIndex, token = lane / ROWS4, four = lane % ROWS4;
  const uint row = min(row_of(four), p.value_dim - 4);
  load_state(run.run, head);
  for (uint c = 0; c < chunks_of(run, CHUNK); ++c) {
    const uint rows = min(CHUNK, run.rows - c * CHUNK), last = rows - 1, t = run.first + c * CHUNK;
    const uint64_t pairs = delta_pairs(p.pairs, min(first + c, p.chunks - 1), head, heads, CHUNK);
    const uint64_t base = p.qkv + uint64_t(t) * (4 * p.qkv_stride);
    const uint64_t q = base + uint64_t(key_head * KEY4 * 16), k = q + uint64_t(p.key_heads * KEY4 * 16);
    stage(q, k, pairs, last);
    const vec4 coefficients = load_f32x4(pairs, delta_token_at(min(token, CHUNK - 1), CHUNK));
    const uint64_t v = base + uint64_t(2 * p.key_heads * KEY4 * 16 + 4 * head * p.value_dim);
    const uint64_t rows_of_y = p.y + uint64_t(t) * (4 * p.y_stride) + uint64_t(4 * head * p.value_dim);
    const vec4 value = load_f32x4(v, min(token, last) * (4 * p.qkv_stride) + 4 * row);
    barrier();  // the chunk and the state are written before they are read
    vec4 seen, y, change;
    if (token < CHUNK) {
      multiply(token, four, seen, y);
      right_sides[lane] = coefficients.x * value - coefficients.y * seen;
    }
    barrier();  // right sides are written before they are read
    if (token < CHUNK) {
      y *= coefficients.z;
      mix(token, four, change, y);
      changes[lane] = change;
      if (token < rows && row_of(four) < p.value_dim)
        store_f32x4(rows_of_y, token * (4 * p.y_stride) + 4 * row, y);
    }
    barrier();  // changes are written before they are read, and the state read before it changes
    for (uint at = lane; at < ROWS4 / SHARE * KEY4; at += gl_WorkGroupSize.x)
      advance(at / KEY4 * SHARE, at % KEY4, coefficients.w);
    barrier();  // the state is written, and keys are read, before the next chunk's
  }
  if (state_writes(run.run)) store_state(run.run, head);
}
