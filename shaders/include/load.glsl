// All loads and stores of device memory: a uniform 64-bit base and a 32-bit byte offset, cast to a buffer reference. The
// base and the offset must be aligned to the size of what is loaded (16 bytes for four words).
#ifndef LAHAR_LOAD_GLSL
#define LAHAR_LOAD_GLSL
#extension GL_EXT_buffer_reference : require
#extension GL_EXT_scalar_block_layout : require
#extension GL_EXT_shader_explicit_arithmetic_types_int64 : require

layout(buffer_reference, scalar, buffer_reference_align = 4) readonly buffer LoadU1 { uint v; };
layout(buffer_reference, scalar, buffer_reference_align = 8) readonly buffer LoadU2 { uvec2 v; };
layout(buffer_reference, scalar, buffer_reference_align = 16) readonly buffer LoadU4 { uvec4 v; };
layout(buffer_reference, scalar, buffer_reference_align = 4) readonly buffer LoadF1 { float v; };
layout(buffer_reference, scalar, buffer_reference_align = 16) readonly buffer LoadF4 { vec4 v; };
layout(buffer_reference, scalar, buffer_reference_align = 8) readonly buffer LoadA1 { uint64_t v; };
layout(buffer_reference, scalar, buffer_reference_align = 4) writeonly buffer StoreU1 { uint v; };
layout(buffer_reference, scalar, buffer_reference_align = 8) writeonly buffer StoreU2 { uvec2 v; };
layout(buffer_reference, scalar, buffer_reference_align = 16) writeonly buffer StoreU4 { uvec4 v; };
layout(buffer_reference, scalar, buffer_reference_align = 4) writeonly buffer StoreF1 { float v; };
layout(buffer_reference, scalar, buffer_reference_align = 16) writeonly buffer StoreF4 { vec4 v; };

uint load_u32(uint64_t base, uint offset) { return LoadU1(base + uint64_t(offset)).v; }
uvec2 load_u32x2(uint64_t base, uint offset) { return LoadU2(base + uint64_t(offset)).v; }
uvec4 load_u32x4(uint64_t base, uint offset) { return LoadU4(base + uint64_t(offset)).v; }
float load_f32(uint64_t base, uint offset) { return LoadF1(base + uint64_t(offset)).v; }
vec4 load_f32x4(uint64_t base, uint offset) { return LoadF4(base + uint64_t(offset)).v; }
uint64_t load_address(uint64_t base, uint offset) { return LoadA1(base + uint64_t(offset)).v; }

void store_u32(uint64_t base, uint offset, uint v) { StoreU1(base + uint64_t(offset)).v = v; }
void store_u32x2(uint64_t base, uint offset, uvec2 v) { StoreU2(base + uint64_t(offset)).v = v; }
void store_u32x4(uint64_t base, uint offset, uvec4 v) { StoreU4(base + uint64_t(offset)).v = v; }
void store_f32(uint64_t base, uint offset, float v) { StoreF1(base + uint64_t(offset)).v = v; }
void store_f32x4(uint64_t base, uint offset, vec4 v) { StoreF4(base + uint64_t(offset)).v = v; }

#endif
