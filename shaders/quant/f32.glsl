// F32: 4 columns a unit.
const uint kUnit = 4;
struct Unit { uvec4 q; };
Unit load_unit(Weights w, uint r, uint unit) { return Unit(load_u32x4(w.plane0, r * w.row_bytes0 + unit * 16)); }
vec4 decode4(Unit u, uint i) { return uintBitsToFloat(u.q); }
uint column4(uint unit, uint i) { return unit * 4; }
