// What of a chunk of the gated delta rule needs no state. A change of the state, d_t = r_t - sum over i < t of a_ti d_i, comes
// from the right side r of delta_chunks.comp and from the changes before it; an output takes sum over i <= t of b_ti d_i. With
// the system's inverse T by rows, both come from r alone: written are T, each row weighted as its change counts in the state
// behind the chunk, and b T. No entry of T is above 1 in magnitude, as no k and no gate is.
// Decays are multiplied up from token to token: strong ones end at 0. Tokens behind the run's last change nothing.
// Grid (key heads, chunks of all runs); the key head's value heads HEADS at a time, a column of theirs an invocation.
#version 460
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
layout(local_size_x_id = 0) in;
layout(constant_id = 3) const uint KEY4 = 16;   // a fourth of the key dim
layout(constant_id = 4) const uint CHUNK = 16;  // a multiple of 4
layout(constant_id = 5) const uint HEADS = 1;
#include "run_chunks.glsl"
#include "params_linear_attention.h"
#include "linear_attention/delta.glsl"

layout(push_constant, scalar) uniform Push { DeltaPairsPush p; };

shared float key_products[CHUNK * CHUNK];    // [t][i]: k k
shared float query_products[CHUNK * CHUNK];  // [t][i]: q k
shared vec2 scales[CHUNK];                   // of q and k
// Of each of HEADS heads:
shared vec2 gates[HEADS * CHUNK];             // decay, beta
shared float weights[HEADS * CHUNK];          // of a change in the state behind the chunk
shared float system[HEADS * CHUNK * CHUNK];   // a
shared float outputs[HEADS * CHUNK * CHUNK];  // b

uint value_head(uint n) {
  return p.tiled != 0 ? gl_WorkGroupID.x + n * p.key_heads : gl_WorkGroupID.x * (p.value_heads / p.key_heads) + n;
}
uint64_t pairs_of(uint head) { return delta_pairs(p.pairs, gl_WorkGroupID.y, head, p.value_heads, CHUNK); }
uint key_offset() { return 16 * p.key_heads * KEY4; }

// Key i with the keys and queries of four tokens. Tokens behind the chunk's last stand for that one.
void multiply(uint64_t head, uint last, uint first, uint i) {
  const uint stride = 4 * p.qkv_stride;
  vec4 kk = vec4(0), qk = vec4(0);
  [[dont_unroll]] for (uint part = 0; part < KEY4; ++part) {
    const vec4 key = load_f32x4(head, min(i, last) * stride + key_offset() + 16 * part);
    [[unroll]] for (uint j = 0; j < 4; ++j) {
      const uint at = min(first + j, last) * stride + 16 * part;
      kk[j] += dot(key, load_f32x4(head, at + key_offset()));
      qk[j] += dot(key, load_f32x4(head, at));
    }
  }
  [[unroll]] for (uint j = 0; j < 4; ++j) {
    key_products[(first + j) * CHUNK + i] = kk[j];
    query_products[(first + j) * CHUNK + i] = qk[j];
  }
}

vec2 scales_of(uint64_t row) {
  vec2 squares = vec2(0);
  [[dont_unroll]] for (uint part = 0; part < KEY4; ++part) {
    const vec4 q = load_f32x4(row, 16 * part), k = load_f32x4(row, 16 * part + key_offset());
    squares += vec2(dot(q, q), dot(k, k));
  }
  return delta_scales(squares, 4 * KEY4);
}

vec2 gates_of(uint t, uint head) {
  const float alpha = load_f32(p.alpha + uint64_t(t) * (4 * p.alpha_stride), 4 * head) + load_f32(p.bias, 4 * head);
  return delta_gates(alpha, load_f32(p.decay, 4 * head), load_f32(p.beta + uint64_t(t) * (4 * p.beta_stride), 4 * head));
}

// What token i does to those behind it, and its coefficients. `base` is the head's first token among those of HEADS.
void weigh_token(uint64_t pairs, uint base, uint i) {
  float since = 1;  // the decay since token i
  [[dont_unroll]] for (uint t = 0; t < CHUNK; ++t) {
    if (t > i) since *= gates[base + t].x;
    const uint at = t * CHUNK + i;
    const float with_key = scales[t].y * scales[i].y * key_products[at];
    const float with_query = scales[t].x * scales[i].y * query_products[at];
    system[base * CHUNK + at] = t > i ? gates[base + t].y * since * with_key : 0;
    outputs[base * CHUNK + at] = t >= i ? since * with_query : 0;
  }
  weights[base + i] = since * scales[i].y;
  float before = 1, whole = 1;  // the decays up to and with token i, and of all tokens
  [[dont_unroll]] for (uint t = 0; t < CHUNK; ++t) {
    whole *= gates[base + t].x;
    if (t == i) before = whole;
  }
  const float beta = gates[base + i].y;
  store_f32x4(pairs, delta_token_at(i, CHUNK), vec4(beta, beta * before * scales[i].y, before * scales[i].x, whole));
}

void invert_column(uint64_t pairs, uint base, uint i) {
  float column[CHUNK];
  [[unroll]] for (uint t = 0; t < CHUNK; ++t) {
    column[t] = t == i ? 1 : 0;
    [[unroll]] for (uint j = 0; j < t; ++j) column[t] -= system[(base + t) * CHUNK + j] * column[j];
    store_f32(pairs, delta_changes_at(t, i, CHUNK), weights[base + t] * column[t]);
  }
  [[unroll]] for (uint t = 0; t < CHUNK; ++t) {
    float y = 0;
    [[unroll]] for (uint j = 0; j <= t; ++j) y += outputs[(base + t) * CHUNK + j] * column[j];
    store_f32(pairs, delta_outputs_at(t, i, CHUNK), y);
  }
}

void main() {
  const uint key_head = gl_WorkGroupID.x;
  const RunChunk chunk = run_chunk(p.step, gl_WorkGroupID.y, CHUNK);
  if (chunk.rows == 0) return;
  const uint last = chunk.rows - 1, lane = gl_LocalInvocationIndex, lanes = gl_WorkGroupSize.x;
  const uint64_t q = p.qkv + uint64_t(chunk.first) * (4 * p.qkv_stride) + uint64_t(key_head * KEY4 * 16);
  // Neighbours have other keys and the same tokens.
  for (uint at = lane; at < CHUNK * CHUNK / 4; at += lanes) multiply(q, last, at / CHUNK * 4, at % CHUNK);
  for (uint t = lane; t < CHUNK; t += lanes)
    scales[t] = scales_of(q + uint64_t(min(t, last)) * (4 * p.qkv_stride));
  const uint ratio = p.value_heads / p.key_heads;
  for (uint first = 0; first < ratio; first += HEADS) {
    const uint columns = min(HEADS, ratio - first) * CHUNK;
    for (uint c = lane; c < columns; c += lanes) {
      const uint t = c % CHUNK;
      gates[c] = t <= last ? gates_of(chunk.first + t, value_head(first + c / CHUNK)) : vec2(1, 0);
    }
    barrier();  // products, scales and gates are written, and the systems before read, before tokens are weighed
    for (uint c = lane; c < columns; c += lanes)
      weigh_token(pairs_of(value_head(first + c / CHUNK)), c - c % CHUNK, c % CHUNK);
    barrier();  // weights, systems and outputs are written before they are read, and gates read before the next are written
    for (uint c = lane; c < columns; c += lanes)
      invert_column(pairs_of(value_head(first + c / CHUNK)), c - c % CHUNK, c % CHUNK);
  }
}
