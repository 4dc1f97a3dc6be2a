// The weight formats for kernels in which lane i holds column c + i of a row, on drivers that run lanes as the elements of
// CPU vectors (matmul/loop.comp). Expects LANES (the subgroup's size: 4, 8 or 16), GROUP
// (columns per scale, for formats with outside scales), COLS, `lane`, FORMAT, quant/decode.glsl and add-ons for subgroups.
// A row is made of blocks of kBlock columns, a block of kSegments segments, a segment of kSegment steps that load once and
// make kVectors vectors of LANES columns each. A part is kPart columns with one scale; vector v of a segment belongs to part
// v % kScales of it. `n` is how many columns of the block exist.
//   Weights block_at(row, b)       addresses of block b, given those of the row
//   vec2 load_heads(at, b, h, n)   scale and minimum of part h * LANES + lane of the block, h < kHeads
//   uint segment_part(g, i)        the block's part that part i of segment g is
//   uint lane_column(s, v)         the first column of vector v of step s
//   Raw load_raw(at, s, n)         the quants of step s
//   float lane_quant(raw, v)       those of vector v; the weight is scale * (quant + kOffset), or scale * quant + minimum where
//                                  kMinimum, or quant alone where !kScaled
#include "quant/lane_loads.glsl"

// Columns of step s that the row has; what is loaded beyond them are the zeros that fill up the row.
uint lane_columns(uint s, uint whole, uint n) { return min(LANES, (n + whole - 1) / whole * whole - s * LANES); }

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
struct Raw { uint low, high; };
#endif

#if FORMAT <= 2
const bool kScaled = false;
const uint kBlock = 8 * LANES, kPart = kBlock, kSegment = 8;
Raw load_raw(Weights at, uint s, uint n) {
#if FORMAT == 0
  return Raw(lane_f32(at.plane0 + uint64_t(s * LANES * 4), lane_columns(s, 4, n)));
#elif FORMAT == 1
  return Raw(lane_f16(at.plane0 + uint64_t(s * LANES * 2), lane_columns(s, 4, n)));
#else
  return Raw(uintBitsToFloat(lane_u16(at.plane0 + uint64_t(s * LANES * 2), lane_columns(s, 4, n)) << 16));
#endif
}
#elif FORMAT == 3 || FORMAT >= 8
// With a scale for all of a row that is scaled last, with outside scales of groups that are multiples of 16 columns.
const bool kScaled = true;
#if FORMAT == 3
const uint kPart = 32;
#else
const uint kPart = GROUP % 32 == 0 ? 32u : 16u;
#endif
const uint kBlock = 256, kSegment = kPart / LANES;
Raw load_raw(Weights at, uint s, uint n) {
  const uint64_t from = at.plane0 + uint64_t(s * LANES);
#if FORMAT == 8
  return Raw(from_e4m3(lane_u8(from, lane_columns(s, 4, n))));
#else
  return Raw(float(lane_i8(from, lane_columns(s, 4, n))));
#endif
}
#elif FORMAT == 4 || FORMAT == 5
const bool kScaled = true, kMinimum = FORMAT == 5;
const float kOffset = FORMAT == 4 ? -8 : 0;
const uint kBlock = 256, kPart = 32, kSegment = 16 / LANES, kScales = 1;
uint lane_column(uint s, uint v) { return s / kSegment * 32 + s % kSegment * LANES + 16 * v; }
Raw load_raw(Weights at, uint s, uint n) { return Raw(lane_u8(at.plane0 + uint64_t(s * LANES), LANES), 0); }
float lane_quant(Raw raw, uint v) { return float(int(nibble(raw.low, v))); }
#elif FORMAT == 6
const bool kScaled = true, kMinimum = true;
const float kOffset = 0;
const uint kBlock = 256, kPart = 32, kSegment = 32 / LANES, kScales = 2;  // a segment is 64 columns
uint lane_column(uint s, uint v) { return s / kSegment * 64 + s % kSegment * LANES + 32 * v; }
Raw load_raw(Weights at, uint s, uint n) { return Raw(lane_u8(at.plane0 + uint64_t(s * LANES), LANES), 0); }
float lane_quant(Raw raw, uint v) { return float(int(nibble(raw.low, v))); }
#elif FORMAT == 7
const bool kScaled = true, kMinimum = false;
const float kOffset = -32;
const uint kBlock = 256, kPart = 16, kSegment = 16 / LANES, kScales = 2;  // a segment is 16 columns and the 16 that lie 64 further
uint lane_column(uint s, uint v) {
  const uint part = s * LANES / 32;  // of 32 bytes of low nibbles; four parts a block
  return part / 2 * 128 + part % 2 * 32 + s * LANES % 32 + 64 * v;
}
Raw load_raw(Weights at, uint s, uint n) {
  const uint part = s * LANES / 32, j = s * LANES % 32;
  return Raw(lane_u8(at.plane0 + uint64_t(part * 32 + j), LANES),
             lane_u8(at.plane0 + uint64_t(128 + part / 2 * 32 + j), LANES) >> (2 * (part % 2)));
}
float lane_quant(Raw raw, uint v) { return float(int(nibble(raw.low, v) | (((raw.high >> (4 * v)) & 3) << 4))); }
#endif

const uint kSegments = kBlock / (kSegment * kVectors * LANES);
const uint kHeads = (kBlock / kPart + LANES - 1) / LANES;  // vectors that hold a number for each part of a block

Weights block_at(Weights row, uint b) {
  row.plane0 += uint64_t(b * row_bytes0(kBlock));
#if FORMAT >= 3 && FORMAT <= 7
  row.plane1 += uint64_t(b * row_bytes1(kBlock));
  row.plane2 += uint64_t(b * row_bytes2(kBlock));
#endif
  return row;
}

uint segment_part(uint g, uint i) {
#if FORMAT == 7
  return g / 4 * 8 + g % 4 + 4 * i;
#else
  return g * kScales + i;
#endif
}

// Scale and minimum of part i of the block in lane i % LANES of vector h = i / LANES.
vec2 load_heads(Weights at, uint b, uint h, uint n) {
  const uint first = h * LANES, parts = min((n + kPart - 1) / kPart - min(first, (n + kPart - 1) / kPart), LANES);
#if FORMAT == 3 || FORMAT == 4
  return vec2(lane_f16(at.plane1 + uint64_t(first * 2), parts), 0);
#elif FORMAT == 5
  return unpackHalf2x16(lane_u32(at.plane1 + uint64_t(first * 4), parts));
#elif FORMAT == 6
  const vec2 d = unpackHalf2x16(LoadU1(at.plane1).v);
  const uvec3 packed = uvec3(LoadU1(at.plane1 + 4).v, LoadU1(at.plane1 + 8).v, LoadU1(at.plane1 + 12).v);
  return d * q4_k_scale(packed, (first + lane) & 7) * vec2(1, -1);
#elif FORMAT == 7
  return vec2(float(LoadF16(at.plane2).v) * float(lane_i8(at.plane1 + uint64_t(first), LANES)), 0);
#elif FORMAT >= 8
  const uint group = GROUP < COLS ? (b * kBlock + (first + min(lane, max(parts, 1) - 1)) * kPart) / GROUP : 0;
  return vec2(LoadF1(at.plane1 + uint64_t(group * 4)).v, 0);
#else
  return vec2(1, 0);
#endif
}
