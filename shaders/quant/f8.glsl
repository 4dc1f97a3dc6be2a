// fp8 e4m3 with an fp32 scale per `group` columns (a multiple of 16, or all of them) in plane 1; 16 columns a unit.
const uint kUnit = 16;
struct Unit { uvec4 q; float d; };
Unit load_unit(Weights w, uint r, uint unit) {
  return Unit(load_u32x4(w.plane0, r * w.row_bytes0 + unit * 16), load_f32(w.plane1, r * w.row_bytes1 + unit * 16 / w.group * 4));
}
// 0x7f is NaN. A subnormal is a multiple of 2^-9: the mantissa is put under the smallest normal exponent, which is then taken away.
float from_e4m3(uint b) {
  const uint rest = b & 0x7f;
  const float small = uintBitsToFloat(0x3c800000u | (rest << 20)) - 0.015625;
  const float normal = uintBitsToFloat((rest << 20) + 0x3c000000u);
  const float v = rest == 0x7f ? uintBitsToFloat(0x7fc00000u) : (rest < 8 ? small : normal);
  return (b & 0x80) != 0 ? -v : v;
}
vec4 decode4(Unit u, uint i) {
  const uint w = u.q[i];
  return u.d * vec4(from_e4m3(w), from_e4m3(w >> 8), from_e4m3(w >> 16), from_e4m3(w >> 24));
}
uint column4(uint unit, uint i) { return unit * 16 + i * 4; }
