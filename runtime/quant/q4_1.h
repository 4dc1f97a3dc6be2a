// Q4_1: 32 values; {fp16 d; fp16 m; byte q[16]}, value i = d * (low nibble of q[i]) + m, value 16 + i = d * (high nibble) +
// m.
#pragma once

#include "quant/block.h"

namespace lahar::quant {

struct Q4_1 {
  static constexpr WeightFormat kFormat = WeightFormat::kQ4_1;
  static constexpr DType kFile = DType::kQ4_1;
  static constexpr uint32_t kValues = 32, kBytes = 20;
  static constexpr std::array<Piece, 2> kPieces = {{{0, 4, 0, 16}, {1, 0, 0, 4}}};
  static constexpr std::array<uint32_t, kMaxPlanes> kPlaneBytes = {16, 4, 0};
  static void decode(const std::byte* block, float* out) {
    const float d = half_at(block), m = half_at(block + 2);
    for (uint32_t i = 0; i < 16; ++i) {
      const uint32_t q = byte_at(block, 4 + i);
      out[i] = d * static_cast<float>(q & 15) + m;
      out[16 + i] = d * static_cast<float>(q >> 4) + m;
    }
  }
};

}  // namespace lahar::quant
