// MXFP4: 32 values; {e8m0 e; byte q[16]}, value i = 2^(e - 127) * fp4 e2m1 of the low nibble of q[i], value 16 + i of the
// high one. A file of e = 255 has no numbers. OCP Microscaling Formats (MX) v1.0.
#pragma once

#include <cmath>

#include "quant/block.h"
#include "quant/tables.h"

namespace lahar::quant {

inline float e2m1_to_float(uint32_t nibble) { return (nibble & 8) != 0 ? -kE2m1Values[nibble & 7] : kE2m1Values[nibble]; }
inline float e8m0_to_float(uint32_t e) { return e == 255 ? NAN : std::ldexp(1.0f, static_cast<int>(e) - 127); }

struct MXFP4 {
  static constexpr WeightFormat kFormat = WeightFormat::kMXFP4;
  static constexpr DType kFile = DType::kMXFP4;
  static constexpr uint32_t kValues = 32, kBytes = 17;
  static constexpr std::array<Piece, 2> kPieces = {{{0, 1, 0, 16}, {1, 0, 0, 1}}};
  static constexpr std::array<uint32_t, kMaxPlanes> kPlaneBytes = {16, 1, 0};
  static void decode(const std::byte* block, float* out) {
    const float d = e8m0_to_float(byte_at(block, 0));
    for (uint32_t i = 0; i < 16; ++i) {
      const uint32_t q = byte_at(block, 1 + i);
      out[i] = d * e2m1_to_float(q & 15);
      out[16 + i] = d * e2m1_to_float(q >> 4);
    }
  }
};

}  // namespace lahar::quant
