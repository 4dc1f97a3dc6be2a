// A weight matrix on the device: y = W x, W of `rows` outputs by `cols` inputs, re-planed so that every load is aligned.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

#include "gpu/buffer.h"

namespace lahar::quant {

// How a matrix lies in device memory; shaders/quant has one decoder for each. The values are the FORMAT in kernels.json.
enum class WeightFormat : uint32_t {
  kF32 = 0,
  kF16 = 1,
  kBF16 = 2,
  kQ8_0 = 3,     // int8, fp16 scale per 32
  kQ4_0 = 4,     // 4 bits minus 8, fp16 scale per 32
  kQ4_1 = 5,     // 4 bits, fp16 scale and minimum per 32
  kQ4_K = 6,     // 4 bits, 6-bit scale and minimum per 32, two fp16 per 256
  kQ6_K = 7,     // 6 bits minus 32, int8 scale per 16, fp16 per 256
  kF8 = 8,       // fp8 e4m3, fp32 scale per `group` columns of a row
  kI8 = 9,       // int8, fp32 scale per `group` columns of a row
  kQ5_0 = 10,    // 5 bits minus 16, fp16 scale per 32
  kQ5_1 = 11,    // 5 bits, fp16 scale and minimum per 32
  kQ2_K = 12,    // 2 bits, 4-bit scale and minimum per 16, two fp16 per 256
  kQ3_K = 13,    // 3 bits minus 4, 6-bit scale per 16, fp16 per 256
  kQ5_K = 14,    // 5 bits, 6-bit scale and minimum per 32, two fp16 per 256
  kIQ4_NL = 15,  // 4-bit index of a value, fp16 scale per 32
  kIQ4_XS = 16,  // 4-bit index of a value, 6-bit scale per 32, fp16 per 256
  kIQ3_S = 17,   // 9-bit index of four magnitudes, signs, 4-bit scale per 32, fp16 per 256; plane 2 holds the magnitudes
  kMXFP4 = 18,   // fp4 e2m1, power of two per 32
  kTQ1_0 = 19,   // -1, 0, 1, five to a byte, fp16 scale per 256
  kTQ2_0 = 20,   // -1, 0, 1 of 2 bits, fp16 scale per 256
  kI4 = 21,      // 4 bits minus a zero point, scale and zero point per `group` columns of a row
  kCount,
};

std::string_view to_string(WeightFormat format);

// Planes are row-major; plane p of row r begins at planes[p] + r * layout(...).row_bytes[p] (a multiple of 16).
struct Matrix {
  WeightFormat format = WeightFormat::kF32;
  uint32_t rows = 0, cols = 0;
  uint32_t group = 0;                      // columns per scale, for kF8, kI8 (a multiple of 16, or cols) and kI4 (of 32)
  std::array<gpu::BufferRange, 3> planes;  // those that the format has; the rest empty
};

}  // namespace lahar::quant
