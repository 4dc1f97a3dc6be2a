// y_h = W_h x_h for every head h of every row: the matrices W_h [head_rows, cols] lie one behind the other. TRANSPOSED:
// y_h = W_h^T x_h. Grid (parts of the outputs, heads, tiles of NT rows); an invocation computes one output of each row, or
// where transposed the columns of one unit. x is the same for all invocations of a workgroup. Moves the matrix once a tile.
#version 460
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
layout(local_size_x_id = 0) in;
layout(constant_id = 3) const uint NT = 1;
layout(constant_id = 4) const uint TRANSPOSED = 0;
#include "load.glsl"
#include "params_head_product.h"
#include "quant/decode.glsl"
#include "rows.glsl"

layout(push_constant, scalar) uniform Push { HeadProductPush p; };

const uint kGroups = kUnit / 4;

uint64_t x[NT], y[NT];  // of the head
uint used;              // rows of the tile

void product(Weights w, uint row) {
  if (row >= p.head_rows) return;
  float sum[NT];
  [[unroll]] for (uint t = 0; t < NT; ++t) sum[t] = 0;
  for (uint unit = 0; unit * kUnit < p.cols; ++unit) {
    const Unit u = load_unit(w, row, unit);
    [[unroll]] for (uint i = 0; i < kGroups; ++i) {
      const uint column = column4(unit, i);
      if (column >= p.cols) continue;
      const vec4 w4 = decode4(u, i);
      [[unroll]] for (uint t = 0; t < NT; ++t) sum[t] += dot(w4, load_f32x4(x[t], 4 * column));
    }
  }
  [[unroll]] for (uint t = 0; t < NT; ++t)
    if (t < used) store_f32(y[t], 4 * row, sum[t] * p.scale);
}

void transposed_product(Weights w, uint unit) {
  if (unit * kUnit >= p.cols) return;
  vec4 sum[NT * kGroups];
  [[unroll]] for (uint i = 0; i < NT * kGroups; ++i) sum[i] = vec4(0);
  for (uint row = 0; row < p.head_rows; ++row) {
    const Unit u = load_unit(w, row, unit);
    float factor[NT];
    [[unroll]] for (uint t = 0; t < NT; ++t) factor[t] = load_f32(x[t], 4 * row);
    [[unroll]] for (uint i = 0; i < kGroups; ++i) {
      const vec4 w4 = decode4(u, i);
      [[unroll]] for (uint t = 0; t < NT; ++t) sum[t * kGroups + i] += w4 * factor[t];
    }
  }
  [[unroll]] for (uint t = 0; t < NT; ++t) {
    [[unroll]] for (uint i = 0; i < kGroups; ++i) {
      const uint column = column4(unit, i);
      if (t < used && column < p.cols) store_f32x4(y[t], 4 * column, sum[t * kGroups + i] * p.scale);
    }
  }
}

void main() {
  const uint rows = step_rows(p.step), first = gl_WorkGroupID.z * NT, head = gl_WorkGroupID.y;
  if (first >= rows) return;
  used = min(NT, rows - first);
  [[unroll]] for (uint t = 0; t < NT; ++t) {
    const uint row = first + min(t, used - 1);
    x[t] = p.x + uint64_t(row) * uint64_t(4 * p.x_stride) + uint64_t(4 * head * p.x_head);
    y[t] = p.y + uint64_t(row) * uint64_t(4 * p.y_stride) + uint64_t(4 * head * p.y_head);
  }
  Weights w = Weights(p.w0, p.w1, p.w2, p.row_bytes0, p.row_bytes1, p.row_bytes2, p.group);
  w = weights_at(w, head * p.head_rows);
  if (TRANSPOSED != 0) transposed_product(w, gl_GlobalInvocationID.x);
  else product(w, gl_GlobalInvocationID.x);
}
