// IQ4_NL: 32 values; {fp16 d; byte q[16]}, value i = d * kIq4Values[low nibble of q[i]], value 16 + i that of the high one.
#pragma once

#include "quant/block.h"
#include "quant/tables.h"

namespace lahar::quant {

struct IQ4_NL {
  static constexpr WeightFormat kFormat = WeightFormat::kIQ4_NL;
  static constexpr DType kFile = DType::kIQ4_NL;
  static constexpr uint32_t kValues = 32, kBytes = 18;
  static constexpr std::array<Piece, 2> kPieces = {{{0, 2, 0, 16}, {1, 0, 0, 2}}};
  static constexpr std::array<uint32_t, kMaxPlanes> kPlaneBytes = {16, 2, 0};
  static void decode(const std::byte* block, float* out) {
    const float d = half_at(block);
    for (uint32_t i = 0; i < 16; ++i) {
      const uint32_t q = byte_at(block, 2 + i);
      out[i] = d * kIq4Values[q & 15];
      out[16 + i] = d * kIq4Values[q >> 4];
    }
  }
};

}  // namespace lahar::quant
