// Quantizing a block of 32 columns to int8 rows, and reading one (params_x_rows.h).
#ifndef LAHAR_INT8_ROWS_GLSL
#define LAHAR_INT8_ROWS_GLSL
#include "load.glsl"
#include "params_x_rows.h"

// Four values as packed int8; adds up the quants.
uint to_int8x4(vec4 v, float inverse, inout int sum) {
  const ivec4 q = ivec4(roundEven(clamp(v * inverse, vec4(-127), vec4(127))));
  sum += q.x + q.y + q.z + q.w;
  return uint(q.x & 255) | (uint(q.y & 255) << 8) | (uint(q.z & 255) << 16) | (uint(q.w) << 24);
}

// v: the block's 32 values; row: the address of the row in `cols` columns.
void store_int8_block(uint64_t row, uint cols, uint block, vec4 v[8]) {
  vec4 largest4 = vec4(0);
  for (uint i = 0; i < 8; ++i) largest4 = max(largest4, abs(v[i]));
  const float largest = max(max(largest4.x, largest4.y), max(largest4.z, largest4.w));
  // The scale of tiny blocks would have no finite inverse.
  const float scale = largest < 1e-30 ? 0 : largest / 127, inverse = largest < 1e-30 ? 0 : 127 / largest;
  int sums[2] = int[2](0, 0);
  uint words[8];
  for (uint i = 0; i < 8; ++i) words[i] = to_int8x4(v[i], inverse, sums[i / 4]);
  for (uint i = 0; i < 2; ++i)
    store_u32x4(row, 32 * block + 16 * i, uvec4(words[4 * i], words[4 * i + 1], words[4 * i + 2], words[4 * i + 3]));
  store_u32x2(row, (cols + 31) / 32 * 32 + 8 * block, uvec2(floatBitsToUint(scale), uint(sums[0] & 0xffff) | (uint(sums[1]) << 16)));
}

// 16 quants from `column`, a multiple of 16.
uvec4 int8_words(uint64_t rows, uint offset, uint column) { return load_u32x4(rows, offset + column); }
// Their scale, and the sum of the quants.
vec2 int8_scale_sum(uint64_t rows, uint offset, uint cols, uint column) {
  const uvec2 head = load_u32x2(rows, offset + (cols + 31) / 32 * 32 + column / 32 * 8);
  return vec2(uintBitsToFloat(head.x), bitfieldExtract(int(head.y), int(column & 16), 16));
}
#endif
