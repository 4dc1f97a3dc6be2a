// The weight formats for kernels in which lane i holds column c + i of a row, on drivers that run lanes as the elements of
// CPU vectors, in code without loops (matmul/line.comp). Expects LANES (the subgroup's size, a multiple of 4), COLS,
// GROUP (columns per scale, for formats with outside scales), `lane`, FORMAT and quant/decode.glsl.
//   kVectors, kSegment        vectors of LANES columns that a step decodes; steps that share their scales
//   uint lane_column(s, v)    the first column of vector v of step s
//   Head load_head(row, g)    the scales of segment g; row holds the addresses of the planes' row
//   Raw load_raw(row, s)      the quants of step s
//   float lane_quant(raw, v)  those of vector v; the weight is scale * (quant + kOffset), or scale * quant + minimum where
//                             kMinimum, or quant alone where !kScaled
//   float lane_value(head, quant, v)  that weight
#include "quant/lane_loads.glsl"

float half_at(uint64_t at) { return float(LoadF16(at).v); }

struct Head { vec2 scale, minimum; };  // of vector 0 and 1; where kScales is 1, [0] is for both

// Columns of step s that the row has; what is loaded beyond them are the zeros that fill up the row.
uint lane_columns(uint s, uint whole) { return min(LANES, (COLS + whole - 1) / whole * whole - s * LANES); }

#if FORMAT <= 3 || FORMAT >= 8
const uint kVectors = 1, kScales = 1;
const bool kMinimum = false;
const float kOffset = 0;
uint lane_column(uint s, uint v) { return s * LANES; }
struct Raw { float q; };
float lane_quant(Raw raw, uint v) { return raw.q; }
#else
const uint kVectors = 2;  // nibbles: LANES bytes make two vectors
uint nibble(uint q, uint v) { return v == 0 ? q & 15 : q >> 4; }
#endif

#if FORMAT <= 2
const uint kSegment = 1;
const bool kScaled = false;
Head load_head(Weights row, uint segment) { return Head(vec2(1), vec2(0)); }
Raw load_raw(Weights row, uint s) {
#if FORMAT == 0
  return Raw(lane_f32(row.plane0 + uint64_t(s * LANES * 4), lane_columns(s, 4)));
#elif FORMAT == 1
  return Raw(lane_f16(row.plane0 + uint64_t(s * LANES * 2), lane_columns(s, 4)));
#else
  return Raw(uintBitsToFloat(lane_u16(row.plane0 + uint64_t(s * LANES * 2), lane_columns(s, 4)) << 16));
#endif
}
#else
const bool kScaled = true;
#endif

#if FORMAT == 3
const uint kSegment = 32 / LANES;
Head load_head(Weights row, uint segment) { return Head(vec2(half_at(row.plane1 + uint64_t(segment * 2))), vec2(0)); }
Raw load_raw(Weights row, uint s) { return Raw(float(lane_i8(row.plane0 + uint64_t(s * LANES), LANES))); }
#elif FORMAT >= 8
// A part of a group: groups are multiples of 16 columns.
const uint kSegment = (GROUP % 32 == 0 ? 32 : 16) / LANES;
Head load_head(Weights row, uint segment) {
  return Head(vec2(LoadF1(row.plane1 + uint64_t(segment * kSegment * LANES / GROUP * 4)).v), vec2(0));
}
Raw load_raw(Weights row, uint s) {
#if FORMAT == 8
  return Raw(from_e4m3(lane_u8(row.plane0 + uint64_t(s * LANES), lane_columns(s, 4))));
#else
  return Raw(float(lane_i8(row.plane0 + uint64_t(s * LANES), lane_columns(s, 4))));
#endif
}
#elif FORMAT == 4 || FORMAT == 5
const uint kSegment = 16 / LANES, kScales = 1;
uint lane_column(uint s, uint v) { return s / kSegment * 32 + s % kSegment * LANES + 16 * v; }
struct Raw { uint q; };
Raw load_raw(Weights row, uint s) { return Raw(lane_u8(row.plane0 + uint64_t(s * LANES), LANES)); }
float lane_quant(Raw raw, uint v) { return float(int(nibble(raw.q, v))); }
#if FORMAT == 4
const bool kMinimum = false;
const float kOffset = -8;
Head load_head(Weights row, uint segment) { return Head(vec2(half_at(row.plane1 + uint64_t(segment * 2))), vec2(0)); }
#else
const bool kMinimum = true;
const float kOffset = 0;
Head load_head(Weights row, uint segment) {
  const uint64_t at = row.plane1 + uint64_t(segment * 4);
  return Head(vec2(half_at(at)), vec2(half_at(at + 2)));
}
#endif
#elif FORMAT == 6
const uint kSegment = 32 / LANES, kScales = 2;  // a segment is 64 columns
const bool kMinimum = true;
const float kOffset = 0;
uint lane_column(uint s, uint v) { return s / kSegment * 64 + s % kSegment * LANES + 32 * v; }
Head load_head(Weights row, uint segment) {
  const uvec4 head = LoadU4(row.plane1 + uint64_t(segment / 4 * 16)).v;
  const vec2 d = unpackHalf2x16(head.x);
  const uint b = segment % 4 * 2;
  const vec2 low = d * q4_k_scale(head.yzw, b), high = d * q4_k_scale(head.yzw, b + 1);
  return Head(vec2(low.x, high.x), -vec2(low.y, high.y));
}
struct Raw { uint q; };
Raw load_raw(Weights row, uint s) { return Raw(lane_u8(row.plane0 + uint64_t(s * LANES), LANES)); }
float lane_quant(Raw raw, uint v) { return float(int(nibble(raw.q, v))); }
#elif FORMAT == 7
const uint kSegment = 16 / LANES, kScales = 2;  // a segment is 16 columns and the 16 that lie 64 further
const bool kMinimum = false;
const float kOffset = -32;
uint lane_column(uint s, uint v) {
  const uint part = s * LANES / 32;  // of 32 bytes of low nibbles; four parts a block
  return part / 2 * 128 + part % 2 * 32 + s * LANES % 32 + 64 * v;
}
Head load_head(Weights row, uint segment) {
  const uint block = segment / 8, h = segment / 4 % 2, j = segment % 4;
  const uint64_t at = row.plane1 + uint64_t(block * 16 + 8 * h + j);
  const float d = half_at(row.plane2 + uint64_t(block * 2));
  return Head(d * vec2(int(LoadI8(at).v), int(LoadI8(at + 4).v)), vec2(0));
}
struct Raw { uint low, high; };
Raw load_raw(Weights row, uint s) {
  const uint part = s * LANES / 32, j = s * LANES % 32, p = part % 2;
  const uint64_t at = row.plane0 + uint64_t(part / 4 * 192);
  return Raw(lane_u8(at + uint64_t(part % 4 * 32 + j), LANES),
             lane_u8(at + uint64_t(128 + part / 2 % 2 * 32 + j), LANES) >> (2 * p));
}
float lane_quant(Raw raw, uint v) { return float(int(nibble(raw.low, v) | (((raw.high >> (4 * v)) & 3) << 4))); }
#endif

// The weight itself.
float lane_value(Head head, float q, uint v) {
  if (!kScaled) return q;
  const uint i = kScales == 1 ? 0 : v;
  return kMinimum ? fma(head.scale[i], q, head.minimum[i]) : head.scale[i] * (q + kOffset);
}
