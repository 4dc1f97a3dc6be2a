// Q4_K: 256 values in 8 sub-blocks of 32; {fp16 d; fp16 dmin; byte s[12]; byte q[128]}.
// Value j of sub-block b = d * scale_b * n - dmin * min_b. n is a nibble of q[32 * (b / 2) + j]: the low one for even b, the
// high one for odd b. scale_b and min_b have 6 bits: for b < 4 the low six of s[b] and s[4 + b]; for b >= 4 the low and the
// high nibble of s[4 + b], with the two top bits of s[b - 4] and s[b] above them.
#pragma once

#include <utility>

#include "quant/block.h"

namespace lahar::quant {

struct Q4_K {
  static constexpr WeightFormat kFormat = WeightFormat::kQ4_K;
  static constexpr DType kFile = DType::kQ4_K;
  static constexpr uint32_t kValues = 256, kBytes = 144;
  static constexpr std::array<Piece, 2> kPieces = {{{0, 16, 0, 128}, {1, 0, 0, 16}}};
  static constexpr std::array<uint32_t, kMaxPlanes> kPlaneBytes = {128, 16, 0};
  // s: the packed bytes.
  static std::pair<float, float> scale_and_minimum(const std::byte* s, uint32_t b) {
    const uint32_t scale = b < 4 ? byte_at(s, b) & 63 : (byte_at(s, 4 + b) & 15) | (byte_at(s, b - 4) >> 6) << 4;
    const uint32_t minimum = b < 4 ? byte_at(s, 4 + b) & 63 : byte_at(s, 4 + b) >> 4 | (byte_at(s, b) >> 6) << 4;
    return {static_cast<float>(scale), static_cast<float>(minimum)};
  }
  static void decode(const std::byte* block, float* out) {
    const float d = half_at(block), dmin = half_at(block + 2);
    for (uint32_t b = 0; b < 8; ++b) {
      const auto [scale, minimum] = scale_and_minimum(block + 4, b);
      for (uint32_t j = 0; j < 32; ++j) {
        const uint32_t q = byte_at(block, 16 + 32 * (b / 2) + j) >> 4 * (b % 2) & 15;
        out[32 * b + j] = d * scale * static_cast<float>(q) - dmin * minimum;
      }
    }
  }
};

}  // namespace lahar::quant
