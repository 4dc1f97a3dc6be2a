// Q6_K: plane 0 per 256 {128 bytes of low nibbles, 64 bytes of high pairs}, plane 1 16 int8 scales, plane 2 an fp16 d.
// 32 columns a unit: 16 bytes of low nibbles give 16 columns from their low and 16 from their high halves, 64 apart.
const uint kUnit = 32;
struct Unit { uvec4 low, high; vec2 s; };  // high: the pairs of the low nibbles at bit 0, of the high ones at bit 4

float signed_byte(uint w, uint i) { return float(bitfieldExtract(int(w), int(8 * i), 8)); }

Unit load_unit(Weights w, uint r, uint unit) {
  const uint block = unit / 8, u = unit & 7, h = u / 4, p = (u / 2) & 1, l = u & 1;
  const uint at = r * w.row_bytes0 + block * 192;
  const uvec4 high = load_u32x4(w.plane0, at + 128 + h * 32 + l * 16) >> (2 * p);
  const uvec2 scales = load_u32x2(w.plane1, r * w.row_bytes1 + block * 16 + h * 8);
  const float d = load_half(w.plane2, r * w.row_bytes2, block);
  const uint s = 2 * p + l;
  return Unit(load_u32x4(w.plane0, at + u * 16), high, d * vec2(signed_byte(scales.x, s), signed_byte(scales.y, s)));
}
vec4 decode4(Unit u, uint i) {
  const uint low = nibbles4(u.low, i), high = (u.high[i & 3] >> (i & 4)) & 0x03030303u;
  return (i < 4 ? u.s.x : u.s.y) * (bytes4(low | (high << 4)) - 32);
}
uint column4(uint unit, uint i) {
  return (unit / 4) * 128 + ((unit / 2) & 1) * 32 + (unit & 1) * 16 + (i & 3) * 4 + (i / 4) * 64;
}
