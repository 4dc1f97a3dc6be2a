// Blocks of 32 values.
#include "quant/encode_blocks.h"

#include "quant/tables.h"

namespace lahar::quant::detail {
namespace {

constexpr uint32_t kValues = 32;

// index(x) for 32 values, two to a byte: i and 16 + i.
template <typename Index>
void store_nibbles(const float* x, std::byte* out, Index index) {
  for (uint32_t i = 0; i < kValues / 2; ++i)
    out[i] = static_cast<std::byte>(static_cast<uint32_t>(index(x[i])) | static_cast<uint32_t>(index(x[16 + i])) << 4);
}

// For each floor(2 * v) + 256 the index of the table's value nearest to v: all midpoints are multiples of a half.
constexpr auto kIq4Nearest = [] {
  std::array<uint8_t, 512> out{};
  for (int twice = -256; twice < 256; ++twice) {
    uint8_t index = 0;
    while (index < 15 && twice >= kIq4Values[index] + kIq4Values[index + 1]) ++index;
    out[static_cast<size_t>(twice + 256)] = index;
  }
  return out;
}();
uint32_t iq4_index(float v) {
  return kIq4Nearest[static_cast<size_t>(static_cast<int>(std::clamp(v * 2, -256.0f, 255.0f) + 256))];
}

// The halves of the midpoints of kE2m1Values, and how much each step adds.
float round_e2m1(float v) {
  const float a = std::fabs(v);
  const float magnitude = (a >= 0.25f ? 0.5f : 0) + (a >= 0.75f ? 0.5f : 0) + (a >= 1.25f ? 0.5f : 0) +
                          (a >= 1.75f ? 0.5f : 0) + (a >= 2.5f ? 1.0f : 0) + (a >= 3.5f ? 1.0f : 0) + (a >= 5.0f ? 2.0f : 0);
  return v < 0 ? -magnitude : magnitude;
}
uint32_t e2m1_index(float rounded) {
  uint32_t index = 0;
  while (index < 7 && kE2m1Values[index] < std::fabs(rounded)) ++index;
  return rounded < 0 ? index | 8 : index;
}

}  // namespace

void encode_q8_0(const float* x, const float*, std::byte* block) {
  const float d = as_scale(std::fabs(peak_of(x, kValues)) / 127), inv = inverse(d);
  store_half(d, block);
  for (uint32_t i = 0; i < kValues; ++i)
    block[2 + i] = static_cast<std::byte>(static_cast<int8_t>(nearest(x[i] * inv, -127, 127)));
}

void encode_q4_0(const float* x, const float* w, std::byte* block) {
  const auto round = [](float v) { return nearest(v, -8, 7); };
  const float d = as_scale(search_scale<kValues>(x, w, {-9.25f, 6, 0.25f, 9}, round)), inv = inverse(d);
  store_half(d, block);
  store_nibbles(x, block + 2, [&](float v) { return round(v * inv) + 8; });
}

void encode_q4_1(const float* x, const float* w, std::byte* block) {
  const Affine fit = search_affine(x, w, [](Affine a) { return Affine{as_half(a.d), as_half(a.m)}; });
  const float inv = inverse(fit.d);
  store_half(fit.d, block);
  store_half(fit.m, block + 2);
  store_nibbles(x, block + 4, [&](float v) { return round_nibble((v - fit.m) * inv); });
}

void encode_iq4_nl(const float* x, const float* w, std::byte* block) {
  const auto round = [](float v) { return static_cast<float>(kIq4Values[iq4_index(v)]); };
  // No value of the table is 0: a scale that fp16 cannot tell from 0 has to be 0.
  const float d = as_half(search_scale<kValues>(x, w, {-143, 93, 4, 10}, round)), inv = inverse(d);
  store_half(d, block);
  store_nibbles(x, block + 2, [&](float v) { return iq4_index(v * inv); });
}

void encode_mxfp4(const float* x, const float* w, std::byte* block) {
  const float peak = std::fabs(peak_of(x, kValues));
  // 4 <= peak / 2^e < 8: either the largest values are cut to 6, or all have one step less.
  const int middle = peak > 0 ? std::ilogb(peak) - 2 : -127;
  int best = -127;
  float best_error = INFINITY;
  for (int e = std::max(middle - 1, -127); e <= std::max(middle + 1, -127); ++e) {
    const float error = error_of<kValues>(x, w, std::ldexp(1.0f, e), 0, round_e2m1);
    if (error < best_error) best_error = error, best = e;
  }
  const float inv = inverse(std::ldexp(1.0f, best));
  block[0] = static_cast<std::byte>(best + 127);
  store_nibbles(x, block + 1, [&](float v) { return e2m1_index(round_e2m1(v * inv)); });
}

}  // namespace lahar::quant::detail
