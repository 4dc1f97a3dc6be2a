// Q5_1: 32 values; {fp16 d; fp16 m; uint32 high; byte q[16]}, value i = d * n + m with n as in Q5_0.
#pragma once

#include "quant/block.h"

namespace lahar::quant {

struct Q5_1 {
  static constexpr WeightFormat kFormat = WeightFormat::kQ5_1;
  static constexpr DType kFile = DType::kQ5_1;
  static constexpr uint32_t kValues = 32, kBytes = 24;
  static constexpr std::array<Piece, 3> kPieces = {{{0, 8, 0, 16}, {1, 0, 0, 4}, {2, 4, 0, 4}}};
  static constexpr std::array<uint32_t, kMaxPlanes> kPlaneBytes = {16, 4, 4};
  static void decode(const std::byte* block, float* out) {
    const float d = half_at(block), m = half_at(block + 2);
    const auto high = load<uint32_t>(block + 4);
    for (uint32_t i = 0; i < 32; ++i) {
      const uint32_t low = byte_at(block, 8 + i % 16) >> 4 * (i / 16) & 15;
      out[i] = d * static_cast<float>(low | (high >> i & 1) << 4) + m;
    }
  }
};

}  // namespace lahar::quant
