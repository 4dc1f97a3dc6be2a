// Q3_K: plane 0 per 256 {64 bytes of low pairs of bits, 32 bytes of third bits}, plane 1 {12 bytes of 6-bit scales, fp16 d
// twice}. 32 columns a unit: each pair of bits of 8 bytes gives 8 columns, 32 from one to the next.
const uint kUnit = 32;
struct Unit { uvec2 q, high, s; float d; };  // s: scale of pair p in byte 2 * (p % 2) of word p / 2; high: bit p that of pair p
Unit load_unit(Weights w, uint r, uint unit) {
  const uint block = unit / 8, u = unit & 7, h = u / 4, at = r * w.row_bytes0 + block * 96;
  const uvec4 head = load_u32x4(w.plane1, r * w.row_bytes1 + block * 16);
  const uint l = 8 * ((u / 2) & 1) + 4 * h;
  const uvec2 s = ((head.xy >> l) & 0x000f000fu) | (((uvec2(head.z, head.z >> 2) >> l) & 0x00030003u) << 4);
  return Unit(load_u32x2(w.plane0, at + u * 8), load_u32x2(w.plane0, at + 64 + (u & 3) * 8) >> (4 * h), s,
              unpackHalf2x16(head.w).x);
}
vec4 decode4(Unit u, uint i) {
  const uint q = ((u.q[i & 1] >> (i & 6)) & 0x03030303u) | (((u.high[i & 1] >> (i / 2)) & 0x01010101u) << 2);
  return u.d * (float((u.s[i / 4] >> (8 * (i & 2))) & 63) - 32) * (bytes4(q) - 4);
}
uint column4(uint unit, uint i) { return (unit / 4) * 128 + (i / 2) * 32 + (unit & 3) * 8 + (i & 1) * 4; }
