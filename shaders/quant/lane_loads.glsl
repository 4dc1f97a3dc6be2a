// Vector loads on drivers that run lanes as the elements of CPU vectors: everything is loaded from addresses that are the same
// in all lanes, and each lane picks its element; the driver's compiler makes one vector load of it. And the bytes of rows.
// Expects LANES (the subgroup's size: 4, 8 or 16), GROUP (columns per scale, for formats with outside scales), `lane`, FORMAT.
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
#if FORMAT == 1 || FORMAT == 3 || FORMAT == 4
LANE_PICK(lane_f16, LoadF16x4, 2, float16_t, f16vec4, float)
#endif
#if FORMAT == 2
LANE_PICK(lane_u16, LoadU16x4, 2, uint16_t, u16vec4, uint)
#endif
#if FORMAT == 3 || FORMAT == 7 || FORMAT == 9
LANE_PICK(lane_i8, LoadI8x4, 1, int8_t, i8vec4, int)
#endif
#if FORMAT >= 4 && FORMAT <= 8
LANE_PICK(lane_u8, LoadU8x4, 1, uint8_t, u8vec4, uint)
#endif
#if FORMAT == 5
LANE_PICK(lane_u32, LoadU4, 4, uint, uvec4, uint)
#endif

// Bytes of `cols` columns in the planes.
uint row_bytes0(uint cols) {
  return FORMAT == 0 ? cols * 4 : FORMAT <= 2 ? cols * 2 : FORMAT == 3 || FORMAT >= 8 ? cols : FORMAT == 7 ? cols / 4 * 3 : cols / 2;
}
uint row_bytes1(uint cols) {
  return FORMAT <= 2 ? 0 : FORMAT <= 4 ? cols / 32 * 2 : FORMAT == 5 ? cols / 32 * 4 : FORMAT <= 7 ? cols / 16 : (cols + GROUP - 1) / GROUP * 4;
}
uint row_bytes2(uint cols) { return FORMAT == 7 ? cols / 128 : 0; }
