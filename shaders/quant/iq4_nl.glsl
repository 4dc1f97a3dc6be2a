// IQ4_NL: plane 0 nibbles as in Q4_0, plane 1 an fp16 scale per 32; 32 columns a unit.
#include "quant/iq4_values.glsl"
const uint kUnit = 32;
struct Unit { uvec4 q; float d; };
Unit load_unit(Weights w, uint r, uint unit) {
  return Unit(load_u32x4(w.plane0, r * w.row_bytes0 + unit * 16), load_half(w.plane1, r * w.row_bytes1, unit));
}
vec4 decode4(Unit u, uint i) { return u.d * iq4_values(nibbles4(u.q, i)); }
uint column4(uint unit, uint i) { return unit * 32 + i * 4; }
