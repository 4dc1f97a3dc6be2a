// IQ4_XS: plane 0 nibbles as in Q4_0, plane 1 per 256 {fp16 d, 2 bytes of high and 4 bytes of low bits of scales}; 32
// columns a unit.
#include "quant/iq4_values.glsl"
const uint kUnit = 32;
struct Unit { uvec4 q; float d; };
Unit load_unit(Weights w, uint r, uint unit) {
  const uint b = unit & 7;
  const uvec2 head = load_u32x2(w.plane1, r * w.row_bytes1 + (unit / 8) * 8);
  const uint scale = ((head.y >> (4 * b)) & 15) | (((head.x >> (16 + 2 * b)) & 3) << 4);
  return Unit(load_u32x4(w.plane0, r * w.row_bytes0 + unit * 16), unpackHalf2x16(head.x).x * (float(scale) - 32));
}
vec4 decode4(Unit u, uint i) { return u.d * iq4_values(nibbles4(u.q, i)); }
uint column4(uint unit, uint i) { return unit * 32 + i * 4; }
