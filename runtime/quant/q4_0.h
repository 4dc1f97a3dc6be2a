// Q4_0: 32 values; {fp16 d; byte q[16]}, value i = d * (low nibble of q[i] - 8), value 16 + i = d * (high nibble - 8).
#pragma once

#include "quant/block.h"

namespace lahar::quant {

struct Q4_0 {
  static constexpr WeightFormat kFormat = WeightFormat::kQ4_0;
  static constexpr DType kFile = DType::kQ4_0;
  static constexpr uint32_t kValues = 32, kBytes = 18;
  static constexpr std::array<Piece, 2> kPieces = {{{0, 2, 0, 16}, {1, 0, 0, 2}}};
  static constexpr std::array<uint32_t, kMaxPlanes> kPlaneBytes = {16, 2, 0};
  static void decode(const std::byte* block, float* out) {
    const float d = half_at(block);
    for (uint32_t i = 0; i < 16; ++i) {
      const uint32_t q = byte_at(block, 2 + i);
      out[i] = d * (static_cast<float>(q & 15) - 8);
      out[16 + i] = d * (static_cast<float>(q >> 4) - 8);
    }
  }
};

}  // namespace lahar::quant
