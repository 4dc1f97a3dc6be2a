// TQ2_0: 256 values of -1, 0, 1 (and 2) times d; {byte q[64]; fp16 d}. In each half h of 128 values, value 32 * p + j (p <
// 4) = d * (bits 2 * p of q[32 * h + j], less 1).
#pragma once

#include "quant/block.h"

namespace lahar::quant {

struct TQ2_0 {
  static constexpr WeightFormat kFormat = WeightFormat::kTQ2_0;
  static constexpr DType kFile = DType::kTQ2_0;
  static constexpr uint32_t kValues = 256, kBytes = 66;
  static constexpr std::array<Piece, 2> kPieces = {{{0, 0, 0, 64}, {1, 64, 0, 2}}};
  static constexpr std::array<uint32_t, kMaxPlanes> kPlaneBytes = {64, 2, 0};
  static void decode(const std::byte* block, float* out) {
    const float d = half_at(block + 64);
    for (uint32_t i = 0; i < 256; ++i)
      out[i] = d * (static_cast<float>(byte_at(block, 32 * (i / 128) + i % 32) >> 2 * (i % 128 / 32) & 3) - 1);
  }
};

}  // namespace lahar::quant
