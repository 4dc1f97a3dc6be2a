// Q2_K: 256 values in 16 sub-blocks of 16; {byte s[16]; byte q[64]; fp16 d; fp16 dmin}. In each half h of 128 values, value
// 32 * p + j (p < 4) = d * (low nibble of s_b) * n - dmin * (high nibble of s_b), where b = 8 * h + 2 * p + j / 16 and n is
// bits 2 * p of q[32 * h + j].
#pragma once

#include "quant/block.h"

namespace lahar::quant {

struct Q2_K {
  static constexpr WeightFormat kFormat = WeightFormat::kQ2_K;
  static constexpr DType kFile = DType::kQ2_K;
  static constexpr uint32_t kValues = 256, kBytes = 84;
  static constexpr std::array<Piece, 3> kPieces = {{{0, 16, 0, 64}, {1, 0, 0, 16}, {2, 80, 0, 4}}};
  static constexpr std::array<uint32_t, kMaxPlanes> kPlaneBytes = {64, 16, 4};
  static void decode(const std::byte* block, float* out) {
    const float d = half_at(block + 80), dmin = half_at(block + 82);
    for (uint32_t i = 0; i < 256; ++i) {
      const uint32_t h = i / 128, p = i % 128 / 32, j = i % 32;
      const uint32_t s = byte_at(block, 8 * h + 2 * p + j / 16), q = byte_at(block, 16 + 32 * h + j) >> 2 * p & 3;
      out[i] = d * static_cast<float>(s & 15) * static_cast<float>(q) - dmin * static_cast<float>(s >> 4);
    }
  }
};

}  // namespace lahar::quant
