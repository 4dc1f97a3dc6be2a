// RWKV-7's state of one head a grid row. With a = sigmoid(a0 + a_t), w = exp(-e^-0.5 sigmoid(w0 + w_t)), kk = k * k_k of
// length 1, k' = k (1 + (a - 1) k_a):
//   S <- S diag(w) - (S kk) (kk a)^T + v k'^T;  y = S r
// S kk and S (w r) of the state before are summed together. See recurrence.glsl.
#version 460
#extension GL_GOOGLE_include_directive : require
const uint ARRAYS = 5;
#include "state.glsl"
#include "params_linear_attention.h"
#include "linear_attention/recurrence.glsl"

layout(push_constant, scalar) uniform Push { Rwkv7Push p; };
#include "linear_attention/rwkv7_values.glsl"

const uint kDecay = 0, kRemoved = 1, kAdded = 2, kKey = 3, kRead = 4;  // staged vectors

uint value_dim() { return 4 * KEY4; }

void stage(uint at, bool used, uint t) {
  const uint head = gl_WorkGroupID.y;
  const uint64_t offset = uint64_t(head * KEY4 * 16);
  vec4 removed[PARTS], rate[PARTS], key[PARTS], r[PARTS];
  vec2 sums = vec2(0);
  [[unroll]] for (uint part = 0; part < PARTS; ++part) {
    const vec4 k = load_key(plane_row(kRwkv7K, t) + offset, part);
    rate[part] = sigmoid(load_key(plane_row(kRwkv7A, t) + offset, part) + load_key(p.a0 + offset, part));
    r[part] = load_key(plane_row(kRwkv7R, t) + offset, part);
    key[part] = k + k * (rate[part] - 1) * load_key(p.k_a + offset, part);
    removed[part] = k * load_key(p.k_k + offset, part);
    sums += vec2(dot_sum(removed[part] * removed[part]), dot_sum(r[part] * key[part]));
  }
  sums = row_sum(sums);
  const float scale = 1 / max(sqrt(sums.x), 1e-12);
  float added = 0;
  [[unroll]] for (uint part = 0; part < PARTS; ++part) {
    removed[part] *= scale;
    rate[part] *= removed[part];
    added += dot_sum(r[part] * rate[part]);
  }
  added = row_sum(vec2(added, 0)).x;
  if (!used) return;
  [[unroll]] for (uint part = 0; part < PARTS; ++part) {
    const vec4 w = load_key(plane_row(kRwkv7W, t) + offset, part) + load_key(p.w0 + offset, part);
    const vec4 decay = exp(-0.6065306597126334 * sigmoid(w));
    staged[staged_at(kDecay, at, part)] = decay;
    staged[staged_at(kRemoved, at, part)] = removed[part];
    staged[staged_at(kAdded, at, part)] = rate[part];
    staged[staged_at(kKey, at, part)] = key[part];
    staged[staged_at(kRead, at, part)] = r[part] * decay;
  }
  if (lane_of_row() == 0) scalars[at] = vec4(sums.y, added, 0, 0);
}

float value_at(uint t, uint row) { return value_of(t, gl_WorkGroupID.y * value_dim() + row); }

void advance(uint at, inout float v[ROWS]) {
  const float read = scalars[at].x, added = scalars[at].y;
  vec2 sums[ROWS];
  [[unroll]] for (uint i = 0; i < ROWS; ++i) sums[i] = vec2(0);
  [[unroll]] for (uint part = 0; part < PARTS; ++part) {
    const vec4 removed = staged[staged_at(kRemoved, at, part)], r = staged[staged_at(kRead, at, part)];
    [[unroll]] for (uint i = 0; i < ROWS; ++i)
      sums[i] += vec2(dot_sum(matrix[i * PARTS + part] * removed), dot_sum(matrix[i * PARTS + part] * r));
  }
  [[unroll]] for (uint i = 0; i < ROWS; ++i) sums[i] = row_sum(sums[i]);
  [[unroll]] for (uint part = 0; part < PARTS; ++part) {
    const vec4 decay = staged[staged_at(kDecay, at, part)], change = staged[staged_at(kAdded, at, part)];
    const vec4 key = staged[staged_at(kKey, at, part)];
    [[unroll]] for (uint i = 0; i < ROWS; ++i)
      matrix[i * PARTS + part] = decay * matrix[i * PARTS + part] - sums[i].x * change + v[i] * key;
  }
  [[unroll]] for (uint i = 0; i < ROWS; ++i) v[i] = sums[i].y - sums[i].x * added + v[i] * read;
}

#include "linear_attention/recurrence_main.glsl"
