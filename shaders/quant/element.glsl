// One weight by itself, as a matrix load asks for it (matmul/coop2_load.glsl), for F16, Q8_0, Q4_0, Q4_K, Q6_K, MXFP4 and I4: what
// decode4() of quant/decode.glsl gives for its column. Reads words of four bytes, within the unit of the column. The format is a
// constant of the pipeline, so that one module serves them all. Expects FORMAT, a number of quant::WeightFormat.
//   kBlock                                             columns of a block
//   float element(Weights w, uint r, uint b, uint c)   column c of block b of row r of w, r * row_bytes below 4 GiB
#ifndef LAHAR_ELEMENT_GLSL
#define LAHAR_ELEMENT_GLSL
#include "quant/scales_k.glsl"
#include "quant/weights.glsl"

const uint kF16 = 1, kQ8_0 = 3, kQ4_0 = 4, kQ4_K = 6, kQ6_K = 7, kMXFP4 = 18, kI4 = 21;
const uint kBlock = FORMAT == kF16 ? 1 : FORMAT == kQ4_K || FORMAT == kQ6_K ? 256 : 32;

float q8_0_element(Weights w, uint r, uint b, uint c) {
  const uint q = load_u32(w.plane0, r * w.row_bytes0 + b * 32 + (c & ~3u));
  return load_half(w.plane1, r * w.row_bytes1, b) * float(bitfieldExtract(int(q), int(8 * (c & 3)), 8));
}

// Of Q4_0, MXFP4 and I4: columns 0 to 15 of a block are the low nibbles of its 16 bytes, 16 to 31 the high ones.
uint nibble(Weights w, uint r, uint b, uint c) {
  const uint q = load_u32(w.plane0, r * w.row_bytes0 + b * 16 + (c & 12));
  return bitfieldExtract(q, int(8 * (c & 3) + c / 16 * 4), 4);
}

float q4_0_element(Weights w, uint r, uint b, uint c) {
  return load_half(w.plane1, r * w.row_bytes1, b) * (float(nibble(w, r, b, c)) - 8);
}

float mxfp4_element(Weights w, uint r, uint b, uint c) {
  const uint e = bitfieldExtract(load_u32(w.plane1, r * w.row_bytes1 + (b & ~3u)), int(8 * (b & 3)), 8);
  const float half_of_power = 0.5 * uintBitsToFloat(e << 23);
  // Twice the values are 0, 1, 2, 3, 4, 6, 8, 12.
  const uint q = nibble(w, r, b, c), m = q & 7;
  const uint twice = m < 4 ? m : (2 + (m & 1)) << (m / 2 - 1);
  return half_of_power * (q > 7 ? -float(twice) : float(twice));
}

float i4_element(Weights w, uint r, uint b, uint c) {
  const uint head = load_u32(w.plane1, r * w.row_bytes1 + b * 32 / w.group * 4);
  return uintBitsToFloat(head & ~255u) * (float(nibble(w, r, b, c)) - float(head & 255));
}

float q4_k_element(Weights w, uint r, uint b, uint c) {
  // Of 64 columns, 32 bytes hold the first 32 in their low nibbles and the others in their high ones.
  const uint q = load_u32(w.plane0, r * w.row_bytes0 + b * 128 + c / 64 * 32 + (c & 28));
  const uvec4 head = load_u32x4(w.plane1, r * w.row_bytes1 + b * 16);
  const vec2 sm = unpackHalf2x16(head.x) * q4_k_scale(head.yzw, c / 32);
  return sm.x * float(bitfieldExtract(q, int(8 * (c & 3) + (c & 32) / 8), 4)) - sm.y;
}

float q6_k_element(Weights w, uint r, uint b, uint c) {
  // Of 128 columns, 64 bytes hold the first 64 in their low nibbles and the others in their high ones; above them come pairs of
  // bits, of which 32 bytes hold four each, of columns that lie 32 apart.
  const uint at = r * w.row_bytes0 + b * 192, byte = 8 * (c & 3);
  const uint low = load_u32(w.plane0, at + c / 128 * 64 + (c & 60));
  const uint high = load_u32(w.plane0, at + 128 + c / 128 * 32 + (c & 28));
  const uint q = bitfieldExtract(low, int(byte + (c & 64) / 16), 4) | bitfieldExtract(high, int(byte + (c & 96) / 16), 2) << 4;
  const uint scales = load_u32(w.plane1, r * w.row_bytes1 + b * 16 + (c / 16 & 12));
  const float scale = float(bitfieldExtract(int(scales), int(8 * (c / 16 & 3)), 8));
  return load_half(w.plane2, r * w.row_bytes2, b) * scale * (float(q) - 32);
}

float element(Weights w, uint r, uint b, uint c) {
  if (FORMAT == kQ8_0) return q8_0_element(w, r, b, c);
  if (FORMAT == kQ4_0) return q4_0_element(w, r, b, c);
  if (FORMAT == kQ4_K) return q4_k_element(w, r, b, c);
  if (FORMAT == kQ6_K) return q6_k_element(w, r, b, c);
  if (FORMAT == kMXFP4) return mxfp4_element(w, r, b, c);
  if (FORMAT == kI4) return i4_element(w, r, b, c);
  return load_half(w.plane0, r * w.row_bytes0, b);
}
#endif
