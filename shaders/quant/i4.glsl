// Four bits with outside scales: plane 0 nibbles as in Q4_0, plane 1 per `group` columns (a multiple of 32, or all of them) a
// scale as the upper 24 bits of a float and a zero point of 8; 32 columns a unit.
const uint kUnit = 32;
struct Unit { uvec4 q; vec2 dz; };
Unit load_unit(Weights w, uint r, uint unit) {
  const uint head = load_u32(w.plane1, r * w.row_bytes1 + unit * 32 / w.group * 4);
  return Unit(load_u32x4(w.plane0, r * w.row_bytes0 + unit * 16), vec2(uintBitsToFloat(head & ~255u), float(head & 255)));
}
vec4 decode4(Unit u, uint i) { return u.dz.x * (bytes4(nibbles4(u.q, i)) - u.dz.y); }
uint column4(uint unit, uint i) { return unit * 32 + i * 4; }
