// MXFP4: plane 0 nibbles of fp4 e2m1 as in Q4_0, plane 1 the exponent of a power of two per 32; 32 columns a unit. The power
// 2^-127 (e = 0) counts as 0, as devices may flush it.
const uint kUnit = 32;
struct Unit { uvec4 q; float d; };  // d: half of the power
Unit load_unit(Weights w, uint r, uint unit) {
  const uint e = (load_u32(w.plane1, r * w.row_bytes1 + (unit & ~3u)) >> (8 * (unit & 3))) & 255;
  return Unit(load_u32x4(w.plane0, r * w.row_bytes0 + unit * 16), 0.5 * uintBitsToFloat(e << 23));
}
// Twice the values, 16 added, of four nibbles in bytes: m = 0 to 7 without the sign stands for 0, 1, 2, 3, 4, 6, 8, 12, which
// is m, where its bit 2 is set plus m % 4, for 7 plus another 2.
uint e2m1_bytes(uint n) {
  const uint m = n & 0x07070707u, top = (m >> 2) & 0x01010101u;
  const uint v = m + (m & (top * 3)) + ((m & (m >> 1) & top) << 1), negative = ((n >> 3) & 0x01010101u) * 255;
  return 0x10101010u + (v & ~negative) - (v & negative);
}
vec4 decode4(Unit u, uint i) {  // exact, as d is a power of two
  return fma(bytes4(e2m1_bytes(nibbles4(u.q, i))), vec4(u.d), vec4(-16 * u.d));
}
uint column4(uint unit, uint i) { return unit * 32 + i * 4; }
