// TQ2_0: plane 0 pairs of bits (64 bytes per 256), plane 1 an fp16 scale per 256. 32 columns a unit: each pair of bits of 8
// bytes gives 8 columns, 32 from one to the next.
const uint kUnit = 32;
struct Unit { uvec2 q; float d; };
Unit load_unit(Weights w, uint r, uint unit) {
  return Unit(load_u32x2(w.plane0, r * w.row_bytes0 + unit * 8), load_half(w.plane1, r * w.row_bytes1, unit / 8));
}
vec4 decode4(Unit u, uint i) { return u.d * (bytes4((u.q[i & 1] >> (i & 6)) & 0x03030303u) - 1); }
uint column4(uint unit, uint i) { return (unit / 4) * 128 + (i / 2) * 32 + (unit & 3) * 8 + (i & 1) * 4; }
