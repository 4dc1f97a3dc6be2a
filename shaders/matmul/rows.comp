// Converts rows of x (fp32) for matrix units and integer dot products (params_x_rows.h): KIND 0, int8 with a scale per 32 columns;
// KIND 1, fp16, each row scaled by a power of two that brings its largest magnitude below 256 (residual streams overflow
// fp16). A workgroup a row, an invocation a block of 32 columns. Columns past the last become zeros. Reads x once or twice.
#version 460
#extension GL_GOOGLE_include_directive : require
layout(local_size_x_id = 0) in;
layout(constant_id = 3) const uint KIND = 0;
layout(constant_id = 4) const uint FLAGS = 0;
#include "half.glsl"
#include "int8_rows.glsl"
#include "params_matmul.h"
#include "reduce.glsl"
#include "rows.glsl"
layout(push_constant, scalar) uniform Push { RowsPush p; };

uint64_t source;

vec4 load_masked(uint column) {
  if (column + 3 < p.cols) return load_f32x4(source, 4 * column);
  vec4 v = vec4(0);
  for (uint i = 0; i < 4; ++i)
    if (column + i < p.cols) v[i] = load_f32(source, 4 * (column + i));
  return v;
}

void main() {
  const uint t = gl_WorkGroupID.x;
  const bool gather = (FLAGS & kMatmulGather) != 0;
  if (t >= min(gather ? step_logits(p.step) : step_rows(p.step), p.bucket)) return;
  const uint from = min(gather ? step_logit_row(p.step, t) : t, p.x_rows - 1);
  source = p.x + uint64_t(from) * uint64_t(4 * p.x_stride);
  const uint64_t row = p.y + uint64_t(t) * uint64_t(p.row_bytes);
  const uint blocks = (p.cols + 31) / 32;

  float scale = 1;
  if (KIND == kRowsHalf) {
    float largest = 0;
    for (uint block = gl_LocalInvocationIndex; block < blocks; block += gl_WorkGroupSize.x)
      for (uint i = 0; i < 8; ++i) {
        const vec4 v = abs(load_masked(32 * block + 4 * i));
        largest = max(largest, max(max(v.x, v.y), max(v.z, v.w)));
      }
    largest = workgroup_max(largest);
    // 2^(7 - exponent of the largest), so that it lands in [128, 256); from zeros, 1.
    const int exponent = clamp(int(floatBitsToUint(largest) >> 23) - 127, -100, 100);
    scale = largest > 0 ? uintBitsToFloat(uint(127 + 7 - exponent) << 23) : 1.0;
    if (gl_LocalInvocationIndex == 0) store_f32(row, 64 * blocks, 1 / scale);
  }
  for (uint block = gl_LocalInvocationIndex; block < blocks; block += gl_WorkGroupSize.x) {
    vec4 v[8];
    for (uint i = 0; i < 8; ++i) v[i] = load_masked(32 * block + 4 * i);
    if (KIND == kRowsHalf) {
      for (uint i = 0; i < 4; ++i)
        store_u32x4(row, 64 * block + 16 * i, uvec4(to_half4(scale * v[2 * i]), to_half4(scale * v[2 * i + 1])));
    } else {
      store_int8_block(row, p.cols, block, v);
    }
  }
}
