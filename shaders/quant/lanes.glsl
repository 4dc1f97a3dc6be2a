// The weight formats for kernels in which lane i holds column c + i of a row, on drivers that run lanes as the elements of
// CPU vectors (matmul/line.comp). Everything is loaded from addresses that are the same in all lanes, and each lane picks
// its element: the driver's compiler makes one vector load of it. Expects LANES (the subgroup's size, a multiple of 4), COLS,
// GROUP (columns per scale, for formats with outside scales), `lane`, FORMAT and quant/decode.glsl.
//   kVectors              vectors of LANES columns that one step decodes
//   lane_column(s, v)     the first column of vector v of step s
//   Raw load_raw(row, s)  the bits of step s; row holds the addresses of the planes' row, s counts from the row's start
//   float lane_value(raw, s, v)
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

#if FORMAT <= 2 || FORMAT == 3 || FORMAT >= 8
const uint kVectors = 1;
uint lane_column(uint s, uint v) { return s * LANES; }
struct Raw { float v; };
float lane_value(Raw raw, uint s, uint v) { return raw.v; }
#endif
// Columns of step s that the row has; what is loaded beyond them are the zeros that fill up the row.
uint lane_columns(uint s, uint whole) { return min(LANES, (COLS + whole - 1) / whole * whole - s * LANES); }

#if FORMAT == 0
Raw load_raw(Weights row, uint s) { return Raw(lane_f32(row.plane0 + uint64_t(s * LANES * 4), lane_columns(s, 4))); }
#elif FORMAT == 1
Raw load_raw(Weights row, uint s) { return Raw(lane_f16(row.plane0 + uint64_t(s * LANES * 2), lane_columns(s, 4))); }
#elif FORMAT == 2
Raw load_raw(Weights row, uint s) {
  return Raw(uintBitsToFloat(lane_u16(row.plane0 + uint64_t(s * LANES * 2), lane_columns(s, 4)) << 16));
}
#elif FORMAT == 3
Raw load_raw(Weights row, uint s) {
  const float d = half_at(row.plane1 + uint64_t(s * LANES / 32 * 2));
  return Raw(d * float(lane_i8(row.plane0 + uint64_t(s * LANES), LANES)));
}
#elif FORMAT == 8 || FORMAT == 9
// The scale of a vector: groups are multiples of 16 columns, so that LANES columns have one.
float lane_scale(Weights row, uint s) { return LoadF1(row.plane1 + uint64_t(s * LANES / GROUP * 4)).v; }
#if FORMAT == 9
Raw load_raw(Weights row, uint s) {
  return Raw(lane_scale(row, s) * float(lane_i8(row.plane0 + uint64_t(s * LANES), lane_columns(s, 4))));
}
#else
Raw load_raw(Weights row, uint s) {
  return Raw(lane_scale(row, s) * from_e4m3(lane_u8(row.plane0 + uint64_t(s * LANES), lane_columns(s, 4))));
}
#endif
#else
// Nibbles: LANES bytes make two vectors.
const uint kVectors = 2;
uint nibble(uint q, uint v) { return v == 0 ? q & 15 : q >> 4; }
#if FORMAT == 4 || FORMAT == 5
const uint kStepsPerBlock = 16 / LANES;
uint lane_column(uint s, uint v) { return s / kStepsPerBlock * 32 + s % kStepsPerBlock * LANES + 16 * v; }
#endif
#if FORMAT == 4
struct Raw { uint q; float d; };
Raw load_raw(Weights row, uint s) {
  return Raw(lane_u8(row.plane0 + uint64_t(s * LANES), LANES), half_at(row.plane1 + uint64_t(s / kStepsPerBlock * 2)));
}
float lane_value(Raw raw, uint s, uint v) { return raw.d * float(int(nibble(raw.q, v)) - 8); }
#elif FORMAT == 5
struct Raw { uint q; float d, m; };
Raw load_raw(Weights row, uint s) {
  const uint64_t head = row.plane1 + uint64_t(s / kStepsPerBlock * 4);
  return Raw(lane_u8(row.plane0 + uint64_t(s * LANES), LANES), half_at(head), half_at(head + 2));
}
float lane_value(Raw raw, uint s, uint v) { return fma(raw.d, float(nibble(raw.q, v)), raw.m); }
#elif FORMAT == 6
const uint kStepsPerGroup = 32 / LANES;  // of 64 columns
uint lane_column(uint s, uint v) { return s / kStepsPerGroup * 64 + s % kStepsPerGroup * LANES + 32 * v; }
struct Raw { uint q; vec4 sm; };
Raw load_raw(Weights row, uint s) {
  const uint group = s / kStepsPerGroup;
  const uvec4 head = LoadU4(row.plane1 + uint64_t(group / 4 * 16)).v;
  const vec2 d = unpackHalf2x16(head.x);
  const uint b = group % 4 * 2;
  return Raw(lane_u8(row.plane0 + uint64_t(s * LANES), LANES),
             vec4(d * q4_k_scale(head.yzw, b), d * q4_k_scale(head.yzw, b + 1)));
}
float lane_value(Raw raw, uint s, uint v) {
  return fma(v == 0 ? raw.sm.x : raw.sm.z, float(nibble(raw.q, v)), v == 0 ? -raw.sm.y : -raw.sm.w);
}
#elif FORMAT == 7
const uint kStepsPerPart = 32 / LANES;  // of 32 bytes of low nibbles; four parts a block
uint lane_column(uint s, uint v) {
  const uint part = s / kStepsPerPart;
  return part / 2 * 128 + part % 2 * 32 + s % kStepsPerPart * LANES + 64 * v;
}
struct Raw { uint low, high; float s0, s1; };
Raw load_raw(Weights row, uint s) {
  const uint part = s / kStepsPerPart, block = part / 4, h = part / 2 % 2, p = part % 2, j = s % kStepsPerPart * LANES;
  const uint64_t at = row.plane0 + uint64_t(block * 192);
  const uint64_t scales = row.plane1 + uint64_t(block * 16 + 8 * h + 2 * p + j / 16);
  const float d = half_at(row.plane2 + uint64_t(block * 2));
  return Raw(lane_u8(at + uint64_t(part % 4 * 32 + j), LANES),
             lane_u8(at + uint64_t(128 + 32 * h + j), LANES) >> (2 * p), d * float(int(LoadI8(scales).v)),
             d * float(int(LoadI8(scales + 4).v)));
}
float lane_value(Raw raw, uint s, uint v) {
  const uint q = nibble(raw.low, v) | (((raw.high >> (4 * v)) & 3) << 4);
  return (v == 0 ? raw.s0 : raw.s1) * float(int(q) - 32);
}
#endif
#endif
