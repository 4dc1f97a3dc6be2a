// The weight formats for kernels in which lane i holds column c + i of a row, on drivers that run lanes as the elements of
// CPU vectors (matmul/line.comp). Everything is loaded from addresses that are the same in all lanes, and each lane picks
// its element: the driver's compiler makes one vector load of it. Expects LANES (the subgroup's size, a multiple of 4), COLS,
// GROUP (columns per scale, for formats with outside scales), `lane`, FORMAT and quant/decode.glsl.
//   kVectors, kSegment        vectors of LANES columns that a step decodes; steps that share their scales
//   uint lane_column(s, v)    the first column of vector v of step s
//   Head load_head(row, g)    the scales of segment g; row holds the addresses of the planes' row
//   Raw load_raw(row, s)      the quants of step s
//   float lane_quant(raw, v)  those of vector v; the weight is scale * (quant + kOffset), or scale * quant + minimum where
//                             kMinimum, or quant alone where !kScaled
//   float lane_value(head, quant, v)  that weight
#extension GL_EXT_shader_8bit_storage : require
#extension GL_EXT_shader_16bit_storage : require
#extension GL_EXT_shader_explicit_arithmetic_types_int8 : require
#extension GL_EXT_shader_explicit_arithmetic_types_int16 : require
#extension GL_EXT_shader_explicit_arithmetic_types_float16 : require

layout(buffer_reference, scalar, buffer_reference_align = 4) readonly buffer LoadI8x4 { i8vec4 v; };
layout(buffer_reference, scalar, buffer_reference_align = 4) readonly buffer LoadU8x4 { u8vec4 v; };
layout(buffer_reference, scalar, buffer_reference_align = 8) readonly buffer LoadU16x4 { u16vec4 v; };
layout(buffer_reference, scalar, buffer_reference_align = 16) readonly buffer LoadF32x4 { vec4 v; };
layout(buffer_reference, scalar, buffer_reference_align = 8) readonly buffer LoadF16x4 { f16vec4 v; };
layout(buffer_reference, scalar, buffer_reference_align = 2) readonly buffer LoadF16 { float16_t v; };
layout(buffer_reference, scalar, buffer_reference_align = 1) readonly buffer LoadI8 { int8_t v; };

// The lane's element of LANES neighbours at `at`, of which the first `n` exist (a number known when the pipeline is built).
// It is picked before it is converted: then the vector load can convert.
#define LANE_PICK(name, Ref, bytes, type, type4, result)               \
  result name(uint64_t at, uint n) {                                   \
    type mine = type(0);                                               \
    [[unroll]] for (uint g = 0; g < LANES / 4; ++g) {                  \
      if (g * 4 >= n) break;                                           \
      const type4 four = Ref(at + uint64_t(g * 4 * bytes)).v;          \
      [[unroll]] for (uint k = 0; k < 4; ++k)                          \
        mine = lane == g * 4 + k && g * 4 + k < n ? four[k] : mine;    \
    }                                                                  \
    return result(mine);                                               \
  }
LANE_PICK(lane_f32, LoadF32x4, 4, float, vec4, float)
#if FORMAT == 1
LANE_PICK(lane_f16, LoadF16x4, 2, float16_t, f16vec4, float)
#elif FORMAT == 2
LANE_PICK(lane_u16, LoadU16x4, 2, uint16_t, u16vec4, uint)
#elif FORMAT == 3 || FORMAT == 9
LANE_PICK(lane_i8, LoadI8x4, 1, int8_t, i8vec4, int)
#elif FORMAT >= 4
LANE_PICK(lane_u8, LoadU8x4, 1, uint8_t, u8vec4, uint)
#endif

// Bytes of `cols` columns in the planes.
uint row_bytes0(uint cols) {
  return FORMAT == 0 ? cols * 4 : FORMAT <= 2 ? cols * 2 : FORMAT == 3 || FORMAT >= 8 ? cols : FORMAT == 7 ? cols / 4 * 3 : cols / 2;
}
uint row_bytes1(uint cols) {
  return FORMAT <= 2 ? 0 : FORMAT <= 4 ? cols / 32 * 2 : FORMAT == 5 ? cols / 32 * 4 : FORMAT <= 7 ? cols / 16 : (cols + GROUP - 1) / GROUP * 4;
}
uint row_bytes2(uint cols) { return FORMAT == 7 ? cols / 128 : 0; }

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
