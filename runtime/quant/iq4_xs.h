// IQ4_XS: 256 values in 8 sub-blocks of 32; {fp16 d; uint16 high; byte low[4]; byte q[128]}. Value j of sub-block b = d *
// (scale_b - 32) * kIq4Values[n]: n is the low nibble of q[16 * b + j] for j < 16, the high one of q[16 * b + j - 16] from
// there on. scale_b has 6 bits: a nibble of low[b / 2] (the low one for even b), bits 2 * b of high above it.
#pragma once

#include "quant/block.h"
#include "quant/tables.h"

namespace lahar::quant {

struct IQ4_XS {
  static constexpr WeightFormat kFormat = WeightFormat::kIQ4_XS;
  static constexpr DType kFile = DType::kIQ4_XS;
  static constexpr uint32_t kValues = 256, kBytes = 136;
  static constexpr std::array<Piece, 2> kPieces = {{{0, 8, 0, 128}, {1, 0, 0, 8}}};
  static constexpr std::array<uint32_t, kMaxPlanes> kPlaneBytes = {128, 8, 0};
  static void decode(const std::byte* block, float* out) {
    const float d = half_at(block);
    const uint32_t high = load<uint16_t>(block + 2);
    for (uint32_t b = 0; b < 8; ++b) {
      const uint32_t scale = (byte_at(block, 4 + b / 2) >> 4 * (b % 2) & 15) | (high >> 2 * b & 3) << 4;
      const float step = d * (static_cast<float>(scale) - 32);
      for (uint32_t j = 0; j < 32; ++j)
        out[32 * b + j] = step * kIq4Values[byte_at(block, 8 + 16 * b + j % 16) >> 4 * (j / 16) & 15];
    }
  }
};

}  // namespace lahar::quant
