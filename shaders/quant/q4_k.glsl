// Q4_K: plane 0 nibbles (128 bytes per 256), plane 1 per 256 {fp16 d, fp16 dmin, 12 bytes of 6-bit scales and minima}.
// 32 columns a unit: the low nibbles of 16 bytes are in one sub-block of 32, the high ones in the next.
#include "quant/scales_k.glsl"
const uint kUnit = 32;
struct Unit { uvec4 q; vec4 sm; };  // scale and minimum of the low nibbles, then of the high ones
Unit load_unit(Weights w, uint r, uint unit) {
  const uvec4 head = load_u32x4(w.plane1, r * w.row_bytes1 + (unit / 8) * 16);
  const vec2 d = unpackHalf2x16(head.x);
  const uint b = unit & 6;  // 2 * ((unit % 8) / 2)
  return Unit(load_u32x4(w.plane0, r * w.row_bytes0 + unit * 16),
              vec4(d * q4_k_scale(head.yzw, b), d * q4_k_scale(head.yzw, b + 1)));
}
vec4 decode4(Unit u, uint i) {
  const vec2 sm = i < 4 ? u.sm.xy : u.sm.zw;
  return sm.x * bytes4(nibbles4(u.q, i)) - sm.y;
}
uint column4(uint unit, uint i) { return (unit / 2) * 64 + (unit & 1) * 16 + (i & 3) * 4 + (i / 4) * 32; }
