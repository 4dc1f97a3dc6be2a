// F32, F16, BF16: values one by one.
#pragma once

#include "quant/block.h"

namespace lahar::quant {

struct F32 {
  static constexpr WeightFormat kFormat = WeightFormat::kF32;
  static constexpr DType kFile = DType::kF32;
  static constexpr uint32_t kValues = 1, kBytes = 4;
  static constexpr std::array<Piece, 1> kPieces = {{{0, 0, 0, 4}}};
  static constexpr std::array<uint32_t, kMaxPlanes> kPlaneBytes = {4, 0, 0};
  static void decode(const std::byte* block, float* out) { *out = load<float>(block); }
};

struct F16 {
  static constexpr WeightFormat kFormat = WeightFormat::kF16;
  static constexpr DType kFile = DType::kF16;
  static constexpr uint32_t kValues = 1, kBytes = 2;
  static constexpr std::array<Piece, 1> kPieces = {{{0, 0, 0, 2}}};
  static constexpr std::array<uint32_t, kMaxPlanes> kPlaneBytes = {2, 0, 0};
  static void decode(const std::byte* block, float* out) { *out = half_at(block); }
};

struct BF16 {
  static constexpr WeightFormat kFormat = WeightFormat::kBF16;
  static constexpr DType kFile = DType::kBF16;
  static constexpr uint32_t kValues = 1, kBytes = 2;
  static constexpr std::array<Piece, 1> kPieces = {{{0, 0, 0, 2}}};
  static constexpr std::array<uint32_t, kMaxPlanes> kPlaneBytes = {2, 0, 0};
  static void decode(const std::byte* block, float* out) { *out = bf16_to_float(load<uint16_t>(block)); }
};

}  // namespace lahar::quant
