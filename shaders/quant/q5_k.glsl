// Q5_K: plane 0 per 256 {128 bytes of nibbles, 32 bytes of fifth bits}, plane 1 as Q4_K. 32 columns a unit, as in Q4_K.
#include "quant/scales_k.glsl"
const uint kUnit = 32;
struct Unit { uvec4 q, high; vec4 sm; };  // high: bit 0 those of the low nibbles, bit 1 of the high ones
Unit load_unit(Weights w, uint r, uint unit) {
  const uint block = unit / 8, b = unit & 6, at = r * w.row_bytes0 + block * 160;
  const uvec4 head = load_u32x4(w.plane1, r * w.row_bytes1 + block * 16);
  const vec2 d = unpackHalf2x16(head.x);
  return Unit(load_u32x4(w.plane0, at + (unit & 7) * 16), load_u32x4(w.plane0, at + 128 + (unit & 1) * 16) >> b,
              vec4(d * q4_k_scale(head.yzw, b), d * q4_k_scale(head.yzw, b + 1)));
}
vec4 decode4(Unit u, uint i) {
  const vec2 sm = i < 4 ? u.sm.xy : u.sm.zw;
  return sm.x * bytes4(nibbles4(u.q, i) | (((u.high[i & 3] >> (i / 4)) & 0x01010101u) << 4)) - sm.y;
}
uint column4(uint unit, uint i) { return (unit / 2) * 64 + (unit & 1) * 16 + (i & 3) * 4 + (i / 4) * 32; }
