// y_t = scale * table[token_t] (+ positions[position_t]): a workgroup a row, an invocation a unit at a time. Tokens and
// positions are clamped to their tables; the tail of the last unit is not written.
#version 460
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
layout(local_size_x_id = 0) in;
layout(constant_id = 3) const uint POSITIONS = 0;  // 0 none, 1 F32, 2 F16, 3 BF16
#include "load.glsl"
#include "params_matmul.h"
#include "quant/decode.glsl"
#include "rows.glsl"
layout(push_constant, scalar) uniform Push { EmbedPush p; };

vec4 position4(uint64_t row, uint column) {
  if (POSITIONS == 1) return load_f32x4(row, column * 4);
  const uvec2 w = load_u32x2(row, column * 2);
  if (POSITIONS == 2) return vec4(unpackHalf2x16(w.x), unpackHalf2x16(w.y));
  return uintBitsToFloat(uvec4(w.x << 16, w.x & 0xffff0000u, w.y << 16, w.y & 0xffff0000u));
}

void main() {
  const uint t = gl_WorkGroupID.x;
  if (t >= step_rows(p.step)) return;
  const Row row = step_row(p.step, t);
  Weights table = Weights(p.w0, p.w1, p.w2, p.row_bytes0, p.row_bytes1, p.row_bytes2, p.group);
  table = weights_at(table, uint(clamp(row.token, 0, int(p.vocabulary) - 1)));
  const uint64_t position =
      p.positions0 + uint64_t(min(row.position, p.n_positions - 1)) * uint64_t(p.position_row_bytes);
  const uint64_t y = p.y + uint64_t(t) * uint64_t(4 * p.y_stride);
  const uint units = (p.cols + kUnit - 1) / kUnit;
  for (uint unit = gl_LocalInvocationIndex; unit < units; unit += gl_WorkGroupSize.x) {
    const Unit u = load_unit(table, 0, unit);
    [[unroll]] for (uint i = 0; i < kUnit / 4; ++i) {
      const uint column = column4(unit, i);
      if (column >= p.cols) continue;
      vec4 v = p.scale * decode4(u, i);
      if (POSITIONS != 0) v += position4(position, column);
      if (column + 4 <= p.cols) {
        store_f32x4(y, column * 4, v);
      } else {
        [[unroll]] for (uint k = 0; k < 3; ++k)
          if (column + k < p.cols) store_f32(y, (column + k) * 4, v[k]);
      }
    }
  }
}
