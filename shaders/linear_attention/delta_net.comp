// The gated delta rule of one value head a grid row, q and k normalised to length 1 (q times 1 / sqrt(key dim) more):
//   g = exp(decay * softplus(alpha + bias)), b = sigmoid(beta)
//   S <- g S;  d = b (v - S k);  S <- S + d k^T;  y = S q
// S k and S q of the state before are summed together: y = g (S q) + d (k . q). See recurrence.glsl.
#version 460
#extension GL_GOOGLE_include_directive : require
const uint ARRAYS = 2;
#include "state.glsl"
#include "params_linear_attention.h"
#include "linear_attention/delta.glsl"
#include "linear_attention/recurrence.glsl"

layout(push_constant, scalar) uniform Push { DeltaNetPush p; };

uint value_dim() { return p.value_dim; }

uint key_head() { return delta_key_head(gl_WorkGroupID.y, gl_NumWorkGroups.y, p.key_heads, p.tiled); }

void stage(uint at, bool used, uint t) {
  const uint64_t row = p.qkv + uint64_t(t) * (4 * p.qkv_stride) + uint64_t(key_head() * KEY4 * 16);
  const uint64_t key_row = row + uint64_t(p.key_heads * KEY4 * 16);
  vec2 squares = vec2(0);
  float product = 0;
  vec4 q[PARTS], k[PARTS];
  [[unroll]] for (uint part = 0; part < PARTS; ++part) {
    q[part] = load_key(row, part), k[part] = load_key(key_row, part);
    squares += vec2(dot_sum(q[part] * q[part]), dot_sum(k[part] * k[part]));
    product += dot_sum(q[part] * k[part]);
  }
  squares = row_sum(squares);
  product = row_sum(vec2(product, 0)).x;
  const vec2 scale = delta_scales(squares, 4 * KEY4);
  if (!used) return;
  [[unroll]] for (uint part = 0; part < PARTS; ++part) {
    staged[staged_at(0, at, part)] = q[part] * scale.x;
    staged[staged_at(1, at, part)] = k[part] * scale.y;
  }
  if (lane_of_row() != 0) return;
  const uint head = gl_WorkGroupID.y;
  const float beta = load_f32(p.beta + uint64_t(t) * (4 * p.beta_stride), 4 * head);
  const float alpha = load_f32(p.alpha + uint64_t(t) * (4 * p.alpha_stride), 4 * head) + load_f32(p.bias, 4 * head);
  scalars[at] = vec4(delta_gates(alpha, load_f32(p.decay, 4 * head), beta), product * scale.x * scale.y, 0);
}

float value_at(uint t, uint row) {
  const uint at = 2 * p.key_heads * KEY4 * 4 + gl_WorkGroupID.y * p.value_dim + row;
  return load_f32(p.qkv + uint64_t(t) * (4 * p.qkv_stride), 4 * at);
}

void advance(uint at, inout float v[ROWS]) {
  const float decay = scalars[at].x, beta = scalars[at].y, product = scalars[at].z;
  vec4 k[PARTS];
  vec2 sums[ROWS];
  [[unroll]] for (uint i = 0; i < ROWS; ++i) sums[i] = vec2(0);
  [[unroll]] for (uint part = 0; part < PARTS; ++part) {
    k[part] = staged[staged_at(1, at, part)];
    const vec4 q = staged[staged_at(0, at, part)];
    [[unroll]] for (uint i = 0; i < ROWS; ++i)
      sums[i] += vec2(dot_sum(matrix[i * PARTS + part] * k[part]), dot_sum(matrix[i * PARTS + part] * q));
  }
  [[unroll]] for (uint i = 0; i < ROWS; ++i) {
    const vec2 sum = decay * row_sum(sums[i]);
    const float change = beta * (v[i] - sum.x);
    v[i] = sum.y + change * product;
    [[unroll]] for (uint part = 0; part < PARTS; ++part)
      matrix[i * PARTS + part] = decay * matrix[i * PARTS + part] + change * k[part];
  }
}

#include "linear_attention/recurrence_main.glsl"
