// IQ3_S: 256 values in 8 sub-blocks of 32; {fp16 d; byte q[64]; byte high[8]; byte signs[32]; byte s[4]}. Four values at a
// time, group g of sub-block b, have the magnitudes of entry q[8 * b + g] | (bit g of high[b]) << 8 of kIq3Grid; value j of
// the sub-block is negative where bit j of signs[4 * b ...] is set. All are multiplied by d * (1 + 2 * a nibble of s[b /
// 2]), the low one for even b.
#pragma once

#include "quant/block.h"
#include "quant/tables.h"

namespace lahar::quant {

struct IQ3_S {
  static constexpr WeightFormat kFormat = WeightFormat::kIQ3_S;
  static constexpr DType kFile = DType::kIQ3_S;
  static constexpr uint32_t kValues = 256, kBytes = 110;
  // d stands twice, so that a block's share of plane 1 is one load.
  static constexpr std::array<Piece, 6> kPieces = {
      {{0, 2, 0, 64}, {0, 74, 64, 32}, {1, 66, 0, 8}, {1, 106, 8, 4}, {1, 0, 12, 2}, {1, 0, 14, 2}}};
  static constexpr std::array<uint32_t, kMaxPlanes> kPlaneBytes = {96, 16, 0};
  static constexpr const std::array<uint16_t, 512>& kTable = kIq3Grid;  // plane 2, once for all rows
  static void decode(const std::byte* block, float* out) {
    const float d = half_at(block);
    for (uint32_t i = 0; i < 256; ++i) {
      const uint32_t b = i / 32, g = i % 32 / 4;
      const uint32_t entry = kIq3Grid[byte_at(block, 2 + 8 * b + g) | (byte_at(block, 66 + b) >> g & 1) << 8];
      const auto magnitude = static_cast<float>(2 * (entry >> 3 * (i % 4) & 7) + 1);
      const float step = d * static_cast<float>(1 + 2 * (byte_at(block, 106 + b / 2) >> 4 * (b % 2) & 15));
      out[i] = (byte_at(block, 74 + i / 8) >> i % 8 & 1) != 0 ? -step * magnitude : step * magnitude;
    }
  }
};

}  // namespace lahar::quant
