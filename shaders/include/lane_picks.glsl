// Vector loads on drivers that run lanes as the elements of CPU vectors: everything is loaded from addresses that are the same
// in all lanes, and each lane picks its element; the driver's compiler makes one vector load of it. Includers define LANES (the
// subgroup's size, a multiple of 4), `lane`, and by LANE_F16, LANE_U16, LANE_I8, LANE_U8 and LANE_U32 which types besides floats.
#ifndef LAHAR_LANE_PICKS_GLSL
#define LAHAR_LANE_PICKS_GLSL
#extension GL_EXT_control_flow_attributes : require
#extension GL_EXT_shader_8bit_storage : require
#extension GL_EXT_shader_16bit_storage : require
#extension GL_EXT_shader_explicit_arithmetic_types_int8 : require
#extension GL_EXT_shader_explicit_arithmetic_types_int16 : require
#extension GL_EXT_shader_explicit_arithmetic_types_float16 : require

layout(buffer_reference, scalar, buffer_reference_align = 4) readonly buffer LoadI8x4 { i8vec4 v; };
layout(buffer_reference, scalar, buffer_reference_align = 4) readonly buffer LoadU8x4 { u8vec4 v; };
layout(buffer_reference, scalar, buffer_reference_align = 8) readonly buffer LoadU16x4 { u16vec4 v; };
layout(buffer_reference, scalar, buffer_reference_align = 16) readonly buffer LoadF32x4 { vec4 v; };
layout(buffer_reference, scalar, buffer_reference_align = 4) readonly buffer LoadF16x4 { f16vec4 v; };
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
#ifdef LANE_F16
LANE_PICK(lane_f16, LoadF16x4, 2, float16_t, f16vec4, float)
#endif
#ifdef LANE_U16
LANE_PICK(lane_u16, LoadU16x4, 2, uint16_t, u16vec4, uint)
#endif
#ifdef LANE_I8
LANE_PICK(lane_i8, LoadI8x4, 1, int8_t, i8vec4, int)
#endif
#ifdef LANE_U8
LANE_PICK(lane_u8, LoadU8x4, 1, uint8_t, u8vec4, uint)
#endif
#ifdef LANE_U32
LANE_PICK(lane_u32, LoadU4, 4, uint, uvec4, uint)
#endif
#endif
