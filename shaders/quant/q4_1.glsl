// Q4_1: plane 0 nibbles as in Q4_0, plane 1 fp16 scale and minimum per 32; 32 columns a unit.
const uint kUnit = 32;
struct Unit { uvec4 q; vec2 dm; };
Unit load_unit(Weights w, uint r, uint unit) {
  return Unit(load_u32x4(w.plane0, r * w.row_bytes0 + unit * 16), unpackHalf2x16(load_u32(w.plane1, r * w.row_bytes1 + unit * 4)));
}
vec4 decode4(Unit u, uint i) { return u.dm.x * bytes4(nibbles4(u.q, i)) + u.dm.y; }
uint column4(uint unit, uint i) { return unit * 32 + i * 4; }
