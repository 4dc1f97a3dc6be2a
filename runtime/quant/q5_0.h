// Q5_0: 32 values; {fp16 d; uint32 high; byte q[16]}, value i = d * (n - 16): the low four bits of n are the low nibble of
// q[i] for i < 16 and the high nibble of q[i - 16] from there on, its fifth is bit i of high.
#pragma once

#include "quant/block.h"

namespace lahar::quant {

struct Q5_0 {
  static constexpr WeightFormat kFormat = WeightFormat::kQ5_0;
  static constexpr DType kFile = DType::kQ5_0;
  static constexpr uint32_t kValues = 32, kBytes = 22;
  static constexpr std::array<Piece, 3> kPieces = {{{0, 6, 0, 16}, {1, 0, 0, 2}, {2, 2, 0, 4}}};
  static constexpr std::array<uint32_t, kMaxPlanes> kPlaneBytes = {16, 2, 4};
  static void decode(const std::byte* block, float* out) {
    const float d = half_at(block);
    const auto high = load<uint32_t>(block + 2);
    for (uint32_t i = 0; i < 32; ++i) {
      const uint32_t low = byte_at(block, 6 + i % 16) >> 4 * (i / 16) & 15;
      out[i] = d * (static_cast<float>(low | (high >> i & 1) << 4) - 16);
    }
  }
};

}  // namespace lahar::quant
