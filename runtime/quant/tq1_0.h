// TQ1_0: 256 values of -1, 0, 1 times d; {byte q[48]; byte tail[4]; fp16 d}. A byte v holds five digits to the base 3 (a
// byte of the tail four) as the fraction v / 256, the first digit topmost: digit n = floor(3 * ((3^n * v) mod 256) / 256).
// Value 32 * n + j is digit n of q[j] (n < 5, j < 32), value 160 + 16 * n + j of q[32 + j] (j < 16), value 240 + 4 * n + j
// of tail[j] (n < 4); each less 1.
#pragma once

#include "quant/block.h"

namespace lahar::quant {

struct TQ1_0 {
  static constexpr WeightFormat kFormat = WeightFormat::kTQ1_0;
  static constexpr DType kFile = DType::kTQ1_0;
  static constexpr uint32_t kValues = 256, kBytes = 54;
  static constexpr std::array<Piece, 3> kPieces = {{{0, 0, 0, 48}, {1, 48, 0, 4}, {2, 52, 0, 2}}};
  static constexpr std::array<uint32_t, kMaxPlanes> kPlaneBytes = {48, 4, 2};
  static float digit(uint32_t byte, uint32_t n) {
    constexpr std::array<uint32_t, 5> kPowers = {1, 3, 9, 27, 81};
    return static_cast<float>(((byte * kPowers[n]) & 255) * 3 >> 8) - 1;
  }
  static void decode(const std::byte* block, float* out) {
    const float d = half_at(block + 52);
    for (uint32_t i = 0; i < 160; ++i) out[i] = d * digit(byte_at(block, i % 32), i / 32);
    for (uint32_t i = 0; i < 80; ++i) out[160 + i] = d * digit(byte_at(block, 32 + i % 16), i / 16);
    for (uint32_t i = 0; i < 16; ++i) out[240 + i] = d * digit(byte_at(block, 48 + i % 4), i / 4);
  }
};

}  // namespace lahar::quant
