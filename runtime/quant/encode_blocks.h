// One block at a time, for encode.cpp alone: kValues finite floats and as many positive weights to kBytes.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "quant/float_bits.h"

namespace lahar::quant::detail {

void encode_q8_0(const float* x, const float* w, std::byte* block);
void encode_q4_0(const float* x, const float* w, std::byte* block);
void encode_q4_1(const float* x, const float* w, std::byte* block);
void encode_iq4_nl(const float* x, const float* w, std::byte* block);
void encode_mxfp4(const float* x, const float* w, std::byte* block);
void encode_q4_k(const float* x, const float* w, std::byte* block);
void encode_q6_k(const float* x, const float* w, std::byte* block);

inline void store_half(float value, std::byte* at) {
  const uint16_t bits = float_to_half(value);
  std::memcpy(at, &bits, sizeof bits);
}

// What a reader of the stored scale will see.
inline float as_half(float value) { return half_to_float(float_to_half(std::clamp(value, -65504.0f, 65504.0f))); }

// The same for a scale, which does not become 0 unless it is: with the least one, some quants are left.
inline float as_scale(float value) {
  const float half = as_half(value);
  return value != 0 && half == 0 ? std::copysign(0x1p-24f, value) : half;
}

// To the nearest integer in [low, high], which is far below 2^22: adding and subtracting 1.5 * 2^23 rounds, and vectorizes.
inline float nearest(float value, float low, float high) {
  constexpr float kMagic = 12582912;
  return std::min(std::max(value, low), high) + kMagic - kMagic;
}

// 0 for what no fp16 scale can tell from 0.
inline float inverse(float d) { return std::fabs(d) < 1e-30f ? 0 : 1 / d; }

inline float peak_of(const float* x, uint32_t n) {
  float peak = 0;
  for (uint32_t i = 0; i < n; ++i)
    if (std::fabs(x[i]) > std::fabs(peak)) peak = x[i];
  return peak;
}

// Sums are kept in lanes, because a compiler may not reorder the additions of one sum.
constexpr uint32_t kLanes = 8;
using Lanes = std::array<float, kLanes>;
inline float total(const Lanes& lanes) {
  return ((lanes[0] + lanes[1]) + (lanes[2] + lanes[3])) + ((lanes[4] + lanes[5]) + (lanes[6] + lanes[7]));
}

// sum of w * q * x and of w * q * q, where q = round(x * inv). The best scale for these q is qx / qq, and it takes qx^2 / qq
// off the error that zeros would have.
struct Moments {
  float qx = 0, qq = 0;
  float scale() const { return qq > 0 ? qx / qq : 0; }
  float gain() const { return qq > 0 ? qx * scale() : 0; }
};
template <uint32_t N, typename Round>
Moments moments(const float* x, const float* w, float inv, Round round) {
  Lanes qx{}, qq{};
  for (uint32_t i = 0; i < N; i += kLanes) {
    for (uint32_t l = 0; l < kLanes; ++l) {
      const float q = round(x[i + l] * inv), wq = w[i + l] * q;
      qx[l] += wq * x[i + l];
      qq[l] += wq * q;
    }
  }
  return {total(qx), total(qq)};
}

// sum of w * (x - d * round((x - m) / d) - m)^2
template <uint32_t N, typename Round>
float error_of(const float* x, const float* w, float d, float m, Round round) {
  const float inv = inverse(d);
  Lanes sum{};
  for (uint32_t i = 0; i < N; i += kLanes) {
    for (uint32_t l = 0; l < kLanes; ++l) {
      const float v = x[i + l] - m, e = v - d * round(v * inv);
      sum[l] += w[i + l] * e * e;
    }
  }
  return total(sum);
}

// A scale d for x = d * q. Tries those that map the largest magnitude to first, first + step, ... and the same from second
// on, each improved by least squares, and at last a few more rounds from the best.
struct ScaleSearch {
  float first, second, step;
  int steps;
};
template <uint32_t N, typename Round>
float search_scale(const float* x, const float* w, const ScaleSearch& search, Round round) {
  const float per_peak = inverse(peak_of(x, N));
  if (per_peak == 0) return 0;
  Moments best;
  const auto attempt = [&](float inv) {
    const Moments found = moments<N>(x, w, inv, round);
    if (!(found.gain() > best.gain())) return false;
    best = found;
    return true;
  };
  for (int i = 0; i < search.steps; ++i) {
    attempt((search.first + search.step * static_cast<float>(i)) * per_peak);
    attempt((search.second + search.step * static_cast<float>(i)) * per_peak);
  }
  for (int i = 0; i < 4 && attempt(inverse(best.scale())); ++i) {}
  return best.scale();
}

// x = d * q + m, q from 0 to 15.
struct Affine {
  float d = 0, m = 0;
};
inline float round_nibble(float v) { return nearest(v, 0, 15); }

// Shrinks the range of 32 values step by step, each time fitting d and m to the quants by least squares. store() turns a fit
// into what can be kept of it.
template <typename Store>
Affine search_affine(const float* x, const float* w, Store store) {
  constexpr uint32_t kValues = 32;
  constexpr int kSteps = 10;
  const auto [low, high] = std::minmax_element(x, x + kValues);
  const float middle = (*low + *high) / 2, range = *high - *low;
  Affine best;
  float best_error = error_of<kValues>(x, w, 0, 0, round_nibble);
  for (int step = 0; step < kSteps; ++step) {
    Affine fit;
    fit.d = range * (1.05f - 0.035f * static_cast<float>(step)) / 15;
    fit.m = middle - fit.d * 7.5f;
    const float inv = inverse(fit.d);
    Lanes sw{}, sq{}, sqq{}, sx{}, sqx{};
    for (uint32_t i = 0; i < kValues; i += kLanes) {
      for (uint32_t l = 0; l < kLanes; ++l) {
        const float v = x[i + l] - middle, q = round_nibble((x[i + l] - fit.m) * inv), wv = w[i + l], wq = wv * q;
        sw[l] += wv, sq[l] += wq, sqq[l] += wq * q, sx[l] += wv * v, sqx[l] += wq * v;
      }
    }
    const float n = total(sw), q = total(sq), determinant = n * total(sqq) - q * q;
    if (determinant > 0) {
      fit.d = (n * total(sqx) - q * total(sx)) / determinant;
      fit.m = (total(sx) - fit.d * q) / n + middle;
    }
    fit = store(fit);
    const float error = error_of<kValues>(x, w, fit.d, fit.m, round_nibble);
    if (error < best_error) best_error = error, best = fit;
  }
  return best;
}

}  // namespace lahar::quant::detail
