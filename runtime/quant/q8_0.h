// Q8_0: 32 values; {fp16 d; int8 q[32]}, value = d * q.
#pragma once

#include "quant/block.h"

namespace lahar::quant {

struct Q8_0 {
  static constexpr WeightFormat kFormat = WeightFormat::kQ8_0;
  static constexpr DType kFile = DType::kQ8_0;
  static constexpr uint32_t kValues = 32, kBytes = 34;
  static constexpr std::array<Piece, 2> kPieces = {{{0, 2, 0, 32}, {1, 0, 0, 2}}};
  static constexpr std::array<uint32_t, kMaxPlanes> kPlaneBytes = {32, 2, 0};
  static void decode(const std::byte* block, float* out) {
    const float d = half_at(block);
    for (uint32_t i = 0; i < 32; ++i) out[i] = d * load<int8_t>(block + 2 + i);
  }
};

}  // namespace lahar::quant
