// Q3_K: 256 values in 16 sub-blocks of 16; {byte high[32]; byte q[64]; byte s[12]; fp16 d}. In each half h of 128 values,
// value 32 * p + j (p < 4) = d * (scale_b - 32) * (n - 4) with b = 8 * h + 2 * p + j / 16: the low two bits of n are bits
// 2 * p of q[32 * h + j], its third is bit 4 * h + p of high[j]. scale_b has 6 bits: a nibble of s[b % 8] (the low one for
// b < 8), with bits 2 * (b / 4) of s[8 + b % 4] above it.
#pragma once

#include "quant/block.h"

namespace lahar::quant {

struct Q3_K {
  static constexpr WeightFormat kFormat = WeightFormat::kQ3_K;
  static constexpr DType kFile = DType::kQ3_K;
  static constexpr uint32_t kValues = 256, kBytes = 110;
  // d stands twice, so that a block's share of plane 1 is one load.
  static constexpr std::array<Piece, 4> kPieces = {{{0, 32, 0, 64}, {0, 0, 64, 32}, {1, 96, 0, 14}, {1, 108, 14, 2}}};
  static constexpr std::array<uint32_t, kMaxPlanes> kPlaneBytes = {96, 16, 0};
  static void decode(const std::byte* block, float* out) {
    const float d = half_at(block + 108);
    const std::byte* s = block + 96;
    for (uint32_t i = 0; i < 256; ++i) {
      const uint32_t h = i / 128, p = i % 128 / 32, j = i % 32, b = 8 * h + 2 * p + j / 16;
      const uint32_t scale = (byte_at(s, b % 8) >> 4 * (b / 8) & 15) | (byte_at(s, 8 + b % 4) >> 2 * (b / 4) & 3) << 4;
      const uint32_t q = (byte_at(block, 32 + 32 * h + j) >> 2 * p & 3) | (byte_at(block, j) >> (4 * h + p) & 1) << 2;
      out[i] = d * (static_cast<float>(scale) - 32) * (static_cast<float>(q) - 4);
    }
  }
};

}  // namespace lahar::quant
