// TQ1_0: plane 0 48 bytes per 256, plane 1 four more, plane 2 an fp16 d; digits as quant/tq1_0.h has them, less 1 each.
// 32 columns a unit: units 0 to 4 of a block take one digit of 32 bytes, 5 and 6 two of the other 16, 7 their last and the
// four of plane 1.
const uint kUnit = 32;
struct Unit { uvec4 low, high; uint u; float d; };
Unit load_unit(Weights w, uint r, uint unit) {
  const uint block = unit / 8, u = unit & 7, at = r * w.row_bytes0 + block * 48;
  const uvec4 low = load_u32x4(w.plane0, at + (u < 5 ? 0 : 32));
  uvec4 high = low;
  if (u < 5) high = load_u32x4(w.plane0, at + 16);
  if (u == 7) high = uvec4(load_u32(w.plane1, r * w.row_bytes1 + block * 4));
  return Unit(low, high, u, load_half(w.plane2, r * w.row_bytes2, block));
}
// Digit n of four bytes, two at a time in the halves of a word.
uint digits(uint v, uint n) {
  const uint power = n < 2 ? 1 + 2 * n : (n == 2 ? 9 : (n == 3 ? 27 : 81));
  const uint even = (((v & 0x00ff00ffu) * power & 0x00ff00ffu) * 3 >> 8) & 0x00030003u;
  const uint odd = ((((v >> 8) & 0x00ff00ffu) * power & 0x00ff00ffu) * 3 >> 8) & 0x00030003u;
  return even | (odd << 8);
}
vec4 decode4(Unit u, uint i) {
  uint n = u.u;
  if (u.u >= 5) n = u.u < 7 ? 2 * (u.u - 5) + i / 4 : (i < 4 ? 4 : i - 4);
  return u.d * (bytes4(digits(i < 4 ? u.low[i & 3] : u.high[i & 3], n)) - 1);
}
uint column4(uint unit, uint i) { return unit * 32 + i * 4; }
