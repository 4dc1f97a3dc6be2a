// int8 with outside scales: as in f8.h, weight = value * scale.
#pragma once

#include "quant/block.h"

namespace lahar::quant {

struct I8 {
  static constexpr WeightFormat kFormat = WeightFormat::kI8;
  static constexpr DType kFile = DType::kI8;
  static constexpr uint32_t kValues = 1, kBytes = 1;
  static constexpr std::array<Piece, 1> kPieces = {{{0, 0, 0, 1}}};
  static constexpr std::array<uint32_t, kMaxPlanes> kPlaneBytes = {1, 0, 0};
  static void decode(const std::byte* block, float* out) { *out = load<int8_t>(block); }
  static float apply(float value, float scale) { return value * scale; }
};

}  // namespace lahar::quant
