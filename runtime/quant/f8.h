// fp8 e4m3. The file's values have no scale of their own: it comes from another tensor and lies in plane 1, fp32, one for
// each `group` columns of a row; weight = value * scale. decode() gives the value alone.
#pragma once

#include "quant/block.h"

namespace lahar::quant {

struct F8 {
  static constexpr WeightFormat kFormat = WeightFormat::kF8;
  static constexpr DType kFile = DType::kF8E4M3;
  static constexpr uint32_t kValues = 1, kBytes = 1;
  static constexpr std::array<Piece, 1> kPieces = {{{0, 0, 0, 1}}};
  static constexpr std::array<uint32_t, kMaxPlanes> kPlaneBytes = {1, 0, 0};
  static void decode(const std::byte* block, float* out) { *out = e4m3_to_float(load<uint8_t>(block)); }
  static float apply(float value, float scale) { return value * scale; }
};

}  // namespace lahar::quant
