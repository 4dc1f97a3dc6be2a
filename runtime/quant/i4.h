// Four bits with outside scales and zero points, as AWQ, GPTQ and compressed-tensors have them: weight = scale * (n - zero).
// Plane 0 holds the nibbles of 32 columns as Q4_0 does. Plane 1 holds a word for each `group` columns of a row (a multiple
// of 32, or all): the scale's float in the upper 24 bits, which is exact for fp16 and bf16, the zero point in the lower 8.
// decode() gives n alone.
#pragma once

#include <bit>

#include "quant/block.h"

namespace lahar::quant {

struct I4 {
  static constexpr WeightFormat kFormat = WeightFormat::kI4;
  static constexpr DType kFile = DType::kI4;
  static constexpr uint32_t kValues = 32, kBytes = 16;
  static constexpr std::array<Piece, 1> kPieces = {{{0, 0, 0, 16}}};
  static constexpr std::array<uint32_t, kMaxPlanes> kPlaneBytes = {16, 0, 0};
  static void decode(const std::byte* block, float* out) {
    for (uint32_t i = 0; i < 32; ++i) out[i] = static_cast<float>(byte_at(block, i % 16) >> 4 * (i / 16) & 15);
  }

  // The word of plane 1, as a float of the same bits. The scale is finite and rounded to 24 bits.
  static float pack_scale(float scale, uint8_t zero) {
    return std::bit_cast<float>(((std::bit_cast<uint32_t>(scale) + 0x80u) & ~0xffu) | zero);
  }
  static float apply(float n, float packed) {
    const auto word = std::bit_cast<uint32_t>(packed);
    return std::bit_cast<float>(word & ~0xffu) * (n - static_cast<float>(word & 0xffu));
  }
};

}  // namespace lahar::quant
