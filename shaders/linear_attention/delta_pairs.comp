// What of a chunk of the gated delta rule needs no state. A change of the state, d_t = r_t - sum over i < t of a_ti d_i,
// comes from the right side r (delta_tiles.comp) and the changes before it; an output takes sum over i <= t of b_ti d_i.
// With the inverse T of the system, by rows, both come from r alone: written are T, each row weighted as its change counts
// in the state behind the chunk, and b T. No entry of T is above 1 in magnitude, as no k and no gate is.
// Decays are multiplied up from token to token: strong ones end at 0. Tokens behind the run's last change nothing. Grid
// (key heads, chunks of all runs); an invocation has a token or a column of one of TEAMS of the key head's value heads.
#version 460
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
layout(local_size_x_id = 0) in;
layout(constant_id = 3) const uint KEY4 = 16;   // a fourth of the key dim
layout(constant_id = 4) const uint CHUNK = 16;  // a multiple of 4
layout(constant_id = 5) const uint TEAMS = 4;
layout(constant_id = 6) const uint STEP = 2;  // quads of a key that products take at once; divides KEY4
#include "run_chunks.glsl"
#include "params_linear_attention.h"
#include "linear_attention/delta.glsl"

layout(push_constant, scalar) uniform Push { DeltaPairsPush p; };

const uint kFours = CHUNK / 4;

shared vec4 key_products[CHUNK * kFours];    // [t][i]: k_t k_i
shared vec4 query_products[CHUNK * kFours];  // [t][i]: q_t k_i
shared vec2 squares[TEAMS * CHUNK];          // of q and k, of a part of their floats
shared vec2 scales[CHUNK];                   // of q and k
// Of each of TEAMS heads:
shared vec2 gates[TEAMS * CHUNK];              // decay, beta
shared float weights[TEAMS * CHUNK];           // of a change in the state behind the chunk
shared vec4 systems[TEAMS * CHUNK * kFours];   // [t][i]: a
shared vec4 readings[TEAMS * CHUNK * kFours];  // [t][i]: b

uint value_head(uint n) {
  return p.tiled != 0 ? gl_WorkGroupID.x + n * p.key_heads : gl_WorkGroupID.x * (p.value_heads / p.key_heads) + n;
}
uint64_t pairs_of(uint head) { return delta_pairs(p.pairs, gl_WorkGroupID.y, head, p.value_heads, CHUNK); }
uint key_offset() { return 16 * p.key_heads * KEY4; }

// Token t with four keys. Tokens behind the chunk's last stand for that one.
void multiply(uint64_t head, uint last, uint t, uint four) {
  const uint stride = 4 * p.qkv_stride;
  vec4 kk = vec4(0), qk = vec4(0);
  [[dont_unroll]] for (uint first = 0; first < KEY4; first += STEP)
    [[unroll]] for (uint i = 0; i < STEP; ++i) {
      const uint own = min(t, last) * stride + 16 * (first + i);
      const vec4 q = load_f32x4(head, own), k = load_f32x4(head, own + key_offset());
      [[unroll]] for (uint j = 0; j < 4; ++j) {
        const vec4 key = load_f32x4(head, min(4 * four + j, last) * stride + key_offset() + 16 * (first + i));
        kk[j] += dot(k, key), qk[j] += dot(q, key);
      }
    }
  key_products[t * kFours + four] = kk;
  query_products[t * kFours + four] = qk;
}

// Of every TEAMS'th quad.
vec2 squares_of(uint64_t row, uint team) {
  vec2 sum = vec2(0);
  [[dont_unroll]] for (uint part = team; part < KEY4; part += TEAMS) {
    const vec4 q = load_f32x4(row, 16 * part), k = load_f32x4(row, 16 * part + key_offset());
    sum += vec2(dot(q, q), dot(k, k));
  }
  return sum;
}

vec2 gates_of(uint t, uint head) {
  const float alpha = load_f32(p.alpha + uint64_t(t) * (4 * p.alpha_stride), 4 * head) + load_f32(p.bias, 4 * head);
  return delta_gates(alpha, load_f32(p.decay, 4 * head), load_f32(p.beta + uint64_t(t) * (4 * p.beta_stride), 4 * head));
}

// What those before it do to token t, and its coefficients. `base` is the head's first token among those of TEAMS.
void weigh_token(uint64_t pairs, uint base, uint t) {
  const float beta = gates[base + t].y;
  float since = 1;  // the decay since token i; at last that since the chunk's begin
  [[dont_unroll]] for (uint n = 0; n < kFours; ++n) {
    const uint four = kFours - 1 - n;
    const vec4 kk = key_products[t * kFours + four], qk = query_products[t * kFours + four];
    vec4 a = vec4(0), b = vec4(0);
    [[unroll]] for (uint j = 4; j-- > 0;) {
      const uint i = 4 * four + j;
      const float part = since * scales[i].y;
      if (i < t) a[j] = beta * scales[t].y * part * kk[j];
      if (i <= t) b[j] = scales[t].x * part * qk[j], since *= gates[base + i].x;
    }
    systems[(base + t) * kFours + four] = a;
    readings[(base + t) * kFours + four] = b;
  }
  float behind = 1;
  [[dont_unroll]] for (uint i = t + 1; i < CHUNK; ++i) behind *= gates[base + i].x;
  weights[base + t] = behind * scales[t].y;
  store_f32x4(pairs, delta_token_at(t, CHUNK), vec4(beta, beta * since * scales[t].y, since * scales[t].x, since * behind));
}

// Bounds that do not depend on an outer loop's are what drivers unroll.
void invert_column(uint64_t pairs, uint base, uint i) {
  float column[CHUNK];
  [[unroll]] for (uint t = 0; t < CHUNK; ++t) {
    float x = t == i ? 1 : 0;
    [[unroll]] for (uint j = 0; j < CHUNK; ++j)
      if (j < t) x -= systems[(base + t) * kFours + j / 4][j % 4] * column[j];
    column[t] = x;
    store_f32(pairs, delta_changes_at(t, i, CHUNK), weights[base + t] * x);
  }
  [[unroll]] for (uint t = 0; t < CHUNK; ++t) {
    float y = 0;
    [[unroll]] for (uint j = 0; j < CHUNK; ++j)
      if (j <= t) y += readings[(base + t) * kFours + j / 4][j % 4] * column[j];
    store_f32(pairs, delta_outputs_at(t, i, CHUNK), y);
  }
}

void main() {
  const RunChunk chunk = run_chunk(p.step, gl_WorkGroupID.y, CHUNK);
  if (chunk.rows == 0) return;
  const uint last = chunk.rows - 1, lane = gl_LocalInvocationIndex, lanes = gl_WorkGroupSize.x;
  const uint64_t q = p.qkv + uint64_t(chunk.first) * (4 * p.qkv_stride) + uint64_t(gl_WorkGroupID.x * KEY4 * 16);
  for (uint at = lane; at < CHUNK * kFours; at += lanes) multiply(q, last, at % CHUNK, at / CHUNK);
  for (uint at = lane; at < TEAMS * CHUNK; at += lanes)
    squares[at] = squares_of(q + uint64_t(min(at % CHUNK, last)) * (4 * p.qkv_stride), at / CHUNK);
  barrier();  // squares are written before they are read
  for (uint t = lane; t < CHUNK; t += lanes) {
    vec2 sum = vec2(0);
    for (uint team = 0; team < TEAMS; ++team) sum += squares[team * CHUNK + t];
    scales[t] = delta_scales(sum, 4 * KEY4);
  }
  const uint ratio = p.value_heads / p.key_heads;
  for (uint first = 0; first < ratio; first += TEAMS) {
    const uint columns = min(TEAMS, ratio - first) * CHUNK;
    for (uint c = lane; c < columns; c += lanes) {
      const uint t = c % CHUNK;
      gates[c] = t <= last ? gates_of(chunk.first + t, value_head(first + c / CHUNK)) : vec2(1, 0);
    }
    barrier();  // products, scales and gates are written, and the systems before read, before tokens are weighed
    for (uint c = lane; c < columns; c += lanes)
      weigh_token(pairs_of(value_head(first + c / CHUNK)), c - c % CHUNK, c % CHUNK);
    barrier();  // weights, systems and readings are written before they are read, and gates read before the next are written
    for (uint c = lane; c < columns; c += lanes)
      invert_column(pairs_of(value_head(first + c / CHUNK)), c - c % CHUNK, c % CHUNK);
  }
}
