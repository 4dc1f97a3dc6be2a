// IQ3_S: plane 0 per 256 {64 bytes of indices, 32 bytes of signs}, plane 1 {8 bytes of ninth bits, 4 bytes of scales, fp16 d
// twice}, plane 2 the magnitudes: 16 bits for each of 512 indices. 32 columns a unit.
const uint kUnit = 32;
struct Unit { uvec2 q; uint high, signs; float d; uint64_t table; };
Unit load_unit(Weights w, uint r, uint unit) {
  const uint block = unit / 8, b = unit & 7, at = r * w.row_bytes0 + block * 96;
  const uvec4 head = load_u32x4(w.plane1, r * w.row_bytes1 + block * 16);
  return Unit(load_u32x2(w.plane0, at + b * 8), (b < 4 ? head.x : head.y) >> (8 * (b & 3)), load_u32(w.plane0, at + 64 + b * 4),
              unpackHalf2x16(head.w).x * float(1 + 2 * ((head.z >> (4 * b)) & 15)), w.plane2);
}
vec4 decode4(Unit u, uint i) {
  const uint index = ((u.q[i / 4] >> (8 * (i & 3))) & 255) | (((u.high >> i) & 1) << 8);
  const uint entry = load_u32(u.table, (index & ~1u) * 2) >> ((index & 1) * 16);
  const vec4 v = vec4(entry & 7, (entry >> 3) & 7, (entry >> 6) & 7, (entry >> 9) & 7) * 2 + 1;
  return u.d * mix(v, -v, notEqual((uvec4(u.signs >> (4 * i)) & uvec4(1, 2, 4, 8)), uvec4(0)));
}
uint column4(uint unit, uint i) { return unit * 32 + i * 4; }
