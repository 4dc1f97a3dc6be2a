// Q6_K: 256 values; {byte low[128]; byte high[64]; int8 s[16]; fp16 d}. In each half h of 128 values, value 32 * p + j (p <
// 4) = d * s[8 * h + 2 * p + j / 16] * (n - 32), where the low four bits of n are a nibble of low[64 * h + 32 * (p % 2) + j]
// (the low one for p < 2) and the high two are bits 2 * p of high[32 * h + j].
#pragma once

#include "quant/block.h"

namespace lahar::quant {

struct Q6_K {
  static constexpr WeightFormat kFormat = WeightFormat::kQ6_K;
  static constexpr DType kFile = DType::kQ6_K;
  static constexpr uint32_t kValues = 256, kBytes = 210;
  static constexpr std::array<Piece, 3> kPieces = {{{0, 0, 0, 192}, {1, 192, 0, 16}, {2, 208, 0, 2}}};
  static constexpr std::array<uint32_t, kMaxPlanes> kPlaneBytes = {192, 16, 2};
  static void decode(const std::byte* block, float* out) {
    const float d = half_at(block + 208);
    for (uint32_t i = 0; i < 256; ++i) {
      const uint32_t h = i / 128, p = i % 128 / 32, j = i % 32;
      const uint32_t low = byte_at(block, 64 * h + 32 * (p % 2) + j) >> 4 * (p / 2) & 15;
      const uint32_t high = byte_at(block, 128 + 32 * h + j) >> 2 * p & 3;
      const int scale = load<int8_t>(block + 192 + 8 * h + 2 * p + j / 16);
      out[i] = d * static_cast<float>(scale) * (static_cast<float>(low | high << 4) - 32);
    }
  }
};

}  // namespace lahar::quant
