// Q5_K: 256 values in 8 sub-blocks of 32; {fp16 d; fp16 dmin; byte s[12]; byte high[32]; byte q[128]}. As Q4_K, with a fifth
// bit of n above the nibble: bit b of high[j].
#pragma once

#include "quant/q4_k.h"

namespace lahar::quant {

struct Q5_K {
  static constexpr WeightFormat kFormat = WeightFormat::kQ5_K;
  static constexpr DType kFile = DType::kQ5_K;
  static constexpr uint32_t kValues = 256, kBytes = 176;
  static constexpr std::array<Piece, 3> kPieces = {{{0, 48, 0, 128}, {0, 16, 128, 32}, {1, 0, 0, 16}}};
  static constexpr std::array<uint32_t, kMaxPlanes> kPlaneBytes = {160, 16, 0};
  static void decode(const std::byte* block, float* out) {
    const float d = half_at(block), dmin = half_at(block + 2);
    for (uint32_t b = 0; b < 8; ++b) {
      const auto [scale, minimum] = Q4_K::scale_and_minimum(block + 4, b);
      for (uint32_t j = 0; j < 32; ++j) {
        const uint32_t low = byte_at(block, 48 + 32 * (b / 2) + j) >> 4 * (b % 2) & 15;
        const uint32_t q = low | (byte_at(block, 16 + j) >> b & 1) << 4;
        out[32 * b + j] = d * scale * static_cast<float>(q) - dmin * minimum;
      }
    }
  }
};

}  // namespace lahar::quant
