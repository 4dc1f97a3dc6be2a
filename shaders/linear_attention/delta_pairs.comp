// Of delta_chunks.comp what needs no state: the products of the keys and queries of CHUNK tokens with each other, decayed
// (params_linear_attention.h says what is written). Grid (key heads, chunks of all runs). Decays are multiplied up from token
// to token: strong ones end at 0. Tokens behind the run's last count as changes of nothing.
#version 460
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
layout(local_size_x_id = 0) in;
layout(constant_id = 3) const uint KEY4 = 16;   // a fourth of the key dim
layout(constant_id = 4) const uint CHUNK = 16;  // a multiple of 4
#include "run_chunks.glsl"
#include "params_linear_attention.h"
#include "linear_attention/delta.glsl"

layout(push_constant, scalar) uniform Push { DeltaPairsPush p; };

shared float key_products[CHUNK * CHUNK];    // [t][i]: k k
shared float query_products[CHUNK * CHUNK];  // [t][i]: q k
shared vec2 scales[CHUNK];                   // of q and k
shared vec2 gates[CHUNK];                    // decay, beta

uint key_offset() { return 16 * p.key_heads * KEY4; }

// Key i with the keys and queries of four tokens. Tokens behind the chunk's last stand for that one.
void multiply(uint64_t head, uint last, uint first, uint i) {
  const uint stride = 4 * p.qkv_stride;
  vec4 kk = vec4(0), qk = vec4(0);
  for (uint part = 0; part < KEY4; ++part) {
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
  for (uint part = 0; part < KEY4; ++part) {
    const vec4 q = load_f32x4(row, 16 * part), k = load_f32x4(row, 16 * part + key_offset());
    squares += vec2(dot(q, q), dot(k, k));
  }
  return delta_scales(squares, 4 * KEY4);
}

vec2 gates_of(uint t, uint head) {
  const float alpha = load_f32(p.alpha + uint64_t(t) * (4 * p.alpha_stride), 4 * head) + load_f32(p.bias, 4 * head);
  return delta_gates(alpha, load_f32(p.decay, 4 * head), load_f32(p.beta + uint64_t(t) * (4 * p.beta_stride), 4 * head));
}

// What token i does to those behind it, and its coefficients.
void write_token(uint64_t pairs, uint i) {
  float since = 1;  // the decay since token i
  for (uint t = 0; t < CHUNK; ++t) {
    if (t > i) since *= gates[t].x;
    const uint at = t * CHUNK + i;
    const float with_key = scales[t].y * scales[i].y * key_products[at];
    const float with_query = scales[t].x * scales[i].y * query_products[at];
    store_f32(pairs, 4 * at, t > i ? gates[t].y * since * with_key : 0);
    store_f32(pairs, 4 * (CHUNK * CHUNK + at), t >= i ? since * with_query : 0);
  }
  float before = 1;  // the decay up to and with token i
  for (uint t = 0; t <= i; ++t) before *= gates[t].x;
  const uint coefficients = 8 * CHUNK * CHUNK;
  store_f32x4(pairs, coefficients + 16 * i,
              vec4(gates[i].y, gates[i].y * before * scales[i].y, before * scales[i].x, since * scales[i].y));
  if (i == CHUNK - 1) store_f32x4(pairs, coefficients + 16 * CHUNK, vec4(before, 0, 0, 0));
}

void main() {
  const uint key_head = gl_WorkGroupID.x;
  const RunChunk chunk = run_chunk(p.step, gl_WorkGroupID.y, CHUNK);
  if (chunk.rows == 0) return;
  const uint last = chunk.rows - 1, lane = gl_LocalInvocationIndex, lanes = gl_WorkGroupSize.x;
  const uint64_t q = p.qkv + uint64_t(chunk.first) * (4 * p.qkv_stride) + uint64_t(key_head * KEY4 * 16);
  // Neighbours have other keys, and the same tokens where there are no more of them than keys.
  const uint teams = max(lanes / CHUNK, 1), team = lanes > CHUNK ? lane / CHUNK : 0;
  for (uint four = team; four < CHUNK / 4; four += teams)
    for (uint i = lanes > CHUNK ? lane % CHUNK : lane; i < CHUNK; i += min(lanes, CHUNK)) multiply(q, last, 4 * four, i);
  for (uint t = lane; t < CHUNK; t += lanes)
    scales[t] = scales_of(q + uint64_t(min(t, last)) * (4 * p.qkv_stride));
  const uint ratio = p.value_heads / p.key_heads;
  for (uint n = 0; n < ratio; ++n) {
    const uint head = p.tiled != 0 ? key_head + n * p.key_heads : key_head * ratio + n;
    for (uint t = lane; t < CHUNK; t += lanes) gates[t] = t <= last ? gates_of(chunk.first + t, head) : vec2(1, 0);
    barrier();  // products, scales and gates are written before they are read
    const uint64_t pairs =
        p.pairs + (uint64_t(gl_WorkGroupID.y) * p.value_heads + head) * (8 * CHUNK * CHUNK + 16 * CHUNK + 16);
    for (uint i = lane; i < CHUNK; i += lanes) write_token(pairs, i);
    barrier();  // the gates are read before those of the next head are written
  }
}
