// Conversions between float and the small floating-point types, bit by bit. Pure functions.
#pragma once

#include <bit>
#include <cstdint>

namespace lahar::quant {

// IEEE binary16: 1 sign, 5 exponent, 10 mantissa bits. Exact; NaN stays NaN.
inline float half_to_float(uint16_t h) {
  const uint32_t sign = uint32_t{h & 0x8000u} << 16, rest = h & 0x7fffu;
  if (rest >= 0x7c00u) return std::bit_cast<float>(sign | 0x7f800000u | (rest & 0x3ffu) << 13);
  if (rest >= 0x0400u) return std::bit_cast<float>(sign | ((rest << 13) + (uint32_t{127 - 15} << 23)));
  const float magnitude = static_cast<float>(rest) * 0x1p-24f;  // subnormal: a multiple of 2^-24
  return sign ? -magnitude : magnitude;
}

// Rounds to nearest, ties to even; overflow becomes infinity, NaN a quiet NaN.
inline uint16_t float_to_half(float f) {
  const uint32_t bits = std::bit_cast<uint32_t>(f), sign = bits >> 16 & 0x8000u, magnitude = bits & 0x7fffffffu;
  if (magnitude > 0x7f800000u) return static_cast<uint16_t>(sign | 0x7e00u);
  if (magnitude >= 0x477ff000u) return static_cast<uint16_t>(sign | 0x7c00u);  // 65520 and above
  if (magnitude < 0x38800000u) {                                               // below 2^-14: a multiple of 2^-24
    // Adding 0.5 moves the value's 2^-24 digit to the end of the mantissa, and the addition rounds.
    const float shifted = std::bit_cast<float>(magnitude) + 0.5f;
    return static_cast<uint16_t>(sign | (std::bit_cast<uint32_t>(shifted) - 0x3f000000u));
  }
  const uint32_t rounded = magnitude + 0xfffu + (magnitude >> 13 & 1u);
  return static_cast<uint16_t>(sign | (rounded - (uint32_t{127 - 15} << 23)) >> 13);
}

inline float bf16_to_float(uint16_t b) { return std::bit_cast<float>(uint32_t{b} << 16); }

// Rounds to nearest, ties to even; overflow becomes infinity, NaN a quiet NaN.
inline uint16_t float_to_bf16(float f) {
  const uint32_t bits = std::bit_cast<uint32_t>(f);
  if ((bits & 0x7fffffffu) > 0x7f800000u) return static_cast<uint16_t>(bits >> 16 | 0x40u);
  return static_cast<uint16_t>((bits + 0x7fffu + (bits >> 16 & 1u)) >> 16);
}

// fp8 e4m3 (the "fn" kind): 1 sign, 4 exponent (bias 7), 3 mantissa bits; no infinity, 0x7f and 0xff are NaN; largest 448.
inline float e4m3_to_float(uint8_t v) {
  const uint32_t sign = uint32_t{v & 0x80u} << 24, rest = v & 0x7fu;
  if (rest == 0x7fu) return std::bit_cast<float>(sign | 0x7fc00000u);
  if (rest >= 8) return std::bit_cast<float>(sign | ((rest << 20) + (uint32_t{127 - 7} << 23)));
  const float magnitude = static_cast<float>(rest) * 0x1p-9f;
  return sign ? -magnitude : magnitude;
}

// Rounds to nearest, ties to even; beyond 448 saturates, NaN stays NaN.
inline uint8_t float_to_e4m3(float f) {
  const uint32_t bits = std::bit_cast<uint32_t>(f), sign = bits >> 24 & 0x80u, magnitude = bits & 0x7fffffffu;
  if (magnitude > 0x7f800000u) return static_cast<uint8_t>(sign | 0x7fu);
  if (magnitude < 0x3c800000u) {  // below 2^-6: a multiple of 2^-9; the addition of 2^14 rounds to it
    const float shifted = std::bit_cast<float>(magnitude) + 0x1p14f;
    return static_cast<uint8_t>(sign | (std::bit_cast<uint32_t>(shifted) - 0x46800000u));
  }
  if (magnitude >= 0x43e00000u) return static_cast<uint8_t>(sign | 0x7eu);  // 448
  const uint32_t rounded = magnitude + 0x7ffffu + (magnitude >> 20 & 1u);
  return static_cast<uint8_t>(sign | (rounded - (uint32_t{127 - 7} << 23)) >> 20);
}

}  // namespace lahar::quant
