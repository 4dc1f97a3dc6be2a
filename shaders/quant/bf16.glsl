// BF16: 8 columns a unit; a value is the upper half of a float.
const uint kUnit = 8;
struct Unit { uvec4 q; };
Unit load_unit(Weights w, uint r, uint unit) { return Unit(load_u32x4(w.plane0, r * w.row_bytes0 + unit * 16)); }
vec4 decode4(Unit u, uint i) {
  const uint a = u.q[2 * i], b = u.q[2 * i + 1];
  return uintBitsToFloat(uvec4(a << 16, a & 0xffff0000u, b << 16, b & 0xffff0000u));
}
uint column4(uint unit, uint i) { return unit * 8 + i * 4; }
