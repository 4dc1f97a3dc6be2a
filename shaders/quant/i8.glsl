// int8 with an fp32 scale per `group` columns (a multiple of 16, or all of them) in plane 1; 16 columns a unit.
const uint kUnit = 16;
struct Unit { uvec4 q; float d; };
Unit load_unit(Weights w, uint r, uint unit) {
  return Unit(load_u32x4(w.plane0, r * w.row_bytes0 + unit * 16), load_f32(w.plane1, r * w.row_bytes1 + unit * 16 / w.group * 4));
}
vec4 decode4(Unit u, uint i) { return u.d * signed_bytes(u.q[i]); }
uint column4(uint unit, uint i) { return unit * 16 + i * 4; }
