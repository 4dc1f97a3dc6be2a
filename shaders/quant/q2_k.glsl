// Q2_K: plane 0 pairs of bits (64 bytes per 256), plane 1 16 bytes of scale and minimum, plane 2 fp16 d and dmin.
// 32 columns a unit: each pair of bits of 8 bytes gives 8 columns, 32 from one to the next.
const uint kUnit = 32;
struct Unit { uvec2 q, s; vec2 d; };  // s: scale and minimum of pair p in byte 2 * (p % 2) of word p / 2
Unit load_unit(Weights w, uint r, uint unit) {
  const uint block = unit / 8, u = unit & 7;
  const uvec2 s = load_u32x2(w.plane1, r * w.row_bytes1 + block * 16 + (u / 4) * 8) >> (8 * ((u / 2) & 1));
  return Unit(load_u32x2(w.plane0, r * w.row_bytes0 + unit * 8), s,
              unpackHalf2x16(load_u32(w.plane2, r * w.row_bytes2 + block * 4)));
}
vec4 decode4(Unit u, uint i) {
  const uint s = u.s[i / 4] >> (8 * (i & 2));
  return u.d.x * float(s & 15) * bytes4((u.q[i & 1] >> (i & 6)) & 0x03030303u) - u.d.y * float((s >> 4) & 15);
}
uint column4(uint unit, uint i) { return (unit / 4) * 128 + (i / 2) * 32 + (unit & 3) * 8 + (i & 1) * 4; }
