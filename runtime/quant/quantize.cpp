#include "quant/quantize.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <string>

namespace lahar::quant {
namespace {

constexpr uint32_t kBlock = 32;
using Block = std::array<float, kBlock>;

void store_half(float value, std::byte* at) {
  const uint16_t bits = float_to_half(value);
  std::memcpy(at, &bits, sizeof bits);
}

// What a reader of the stored scale will see.
float as_half(float value) { return half_to_float(float_to_half(std::clamp(value, -65504.0f, 65504.0f))); }

// To the nearest integer in [low, high], which is far below 2^22: adding and subtracting 1.5 * 2^23 rounds, and vectorizes.
float nearest(float value, float low, float high) {
  constexpr float kMagic = 12582912;
  return std::min(std::max(value, low), high) + kMagic - kMagic;
}

float inverse(float d) { return d == 0 ? 0 : 1 / d; }

void store_nibbles(const std::array<uint8_t, kBlock>& q, std::byte* out) {
  for (uint32_t i = 0; i < 16; ++i) out[i] = static_cast<std::byte>(q[i] | q[16 + i] << 4);
}

void quantize_q8_0(const Block& x, std::byte* quants, std::byte* scale) {
  float largest = 0;
  for (float v : x) largest = std::max(largest, std::fabs(v));
  const float d = as_half(largest / 127), inv = inverse(d);
  for (uint32_t i = 0; i < kBlock; ++i)
    quants[i] = static_cast<std::byte>(static_cast<int8_t>(nearest(x[i] * inv, -127, 127)));
  store_half(d, scale);
}

// Tries scales around the one that maps the largest magnitude to -8, and keeps the one with the least squared error.
void quantize_q4_0(const Block& x, std::byte* quants, std::byte* scale) {
  float peak = 0;
  for (float v : x)
    if (std::fabs(v) > std::fabs(peak)) peak = v;
  float best_error = INFINITY, best = 0;
  for (int step = 0; step <= 14; ++step) {
    const float d = as_half(peak / (-7.25f - 0.125f * static_cast<float>(step))), inv = inverse(d);
    float error = 0;
    for (float v : x) {
      const float e = v - d * nearest(v * inv, -8, 7);
      error += e * e;
    }
    if (error < best_error) best_error = error, best = d;
  }
  std::array<uint8_t, kBlock> q;
  const float inv = inverse(best);
  for (uint32_t i = 0; i < kBlock; ++i) q[i] = static_cast<uint8_t>(nearest(x[i] * inv, -8, 7) + 8);
  store_nibbles(q, quants);
  store_half(best, scale);
}

// Shrinks the range step by step, each time fitting scale and minimum to the quants by least squares.
void quantize_q4_1(const Block& x, std::byte* quants, std::byte* scale) {
  const auto [low, high] = std::minmax_element(x.begin(), x.end());
  const float middle = (*low + *high) / 2, half = (*high - *low) / 2;
  float best_error = INFINITY, best_d = 0, best_m = *low;
  for (int step = 0; step < 8; ++step) {
    float d = half * (1 - 0.03f * static_cast<float>(step)) * 2 / 15, m = middle - d * 7.5f;
    const float inv = inverse(d);
    float sum_q = 0, sum_qq = 0, sum_x = 0, sum_qx = 0;
    for (float v : x) {
      const float q = nearest((v - m) * inv, 0, 15);
      sum_q += q, sum_qq += q * q, sum_x += v, sum_qx += q * v;
    }
    const float determinant = kBlock * sum_qq - sum_q * sum_q;
    if (determinant > 0) {
      d = (kBlock * sum_qx - sum_q * sum_x) / determinant;
      m = (sum_x - d * sum_q) / kBlock;
    }
    d = as_half(d), m = as_half(m);
    const float fitted = inverse(d);
    float error = 0;
    for (float v : x) {
      const float e = v - (d * nearest((v - m) * fitted, 0, 15) + m);
      error += e * e;
    }
    if (error < best_error) best_error = error, best_d = d, best_m = m;
  }
  std::array<uint8_t, kBlock> q;
  const float inv = inverse(best_d);
  for (uint32_t i = 0; i < kBlock; ++i) q[i] = static_cast<uint8_t>(nearest((x[i] - best_m) * inv, 0, 15));
  store_nibbles(q, quants);
  store_half(best_d, scale);
  store_half(best_m, scale + 2);
}

float finite(float v) { return std::isfinite(v) ? v : 0; }

void quantize_f8_row(std::span<const float> row, uint32_t group, std::byte* quants, std::byte* scales) {
  for (size_t from = 0, g = 0; from < row.size(); from += group, ++g) {
    const auto part = row.subspan(from, std::min<size_t>(group, row.size() - from));
    float largest = 0;
    for (float v : part) largest = std::max(largest, std::fabs(finite(v)));
    const float d = largest / 448, inv = d < 1e-37f ? 0 : 1 / d;
    for (size_t i = 0; i < part.size(); ++i) quants[from + i] = std::byte{float_to_e4m3(finite(part[i]) * inv)};
    std::memcpy(scales + g * sizeof(float), &d, sizeof d);
  }
}

}  // namespace

bool can_quantize(WeightFormat format, uint32_t cols) {
  switch (format) {
    case WeightFormat::kQ8_0:
    case WeightFormat::kQ4_0:
    case WeightFormat::kQ4_1:
    case WeightFormat::kF8: return cols > 0 && cols % traits(format).block_values == 0;
    default: return false;
  }
}

Status quantize_rows(WeightFormat format, uint32_t cols, uint32_t group, std::span<const float> values,
                     std::array<std::span<std::byte>, kMaxPlanes> planes) {
  if (!can_quantize(format, cols))
    return Error{ErrorCode::kUnsupported,
                 "no conversion of rows of " + std::to_string(cols) + " values to " + std::string(to_string(format))};
  LAHAR_ASSIGN(const Layout shape, layout(format, 1, cols, group));
  const size_t rows = values.size() / cols;
  bool fits = values.size() == rows * cols;
  for (uint32_t p = 0; p < shape.planes; ++p) fits = fits && planes[p].size() == rows * shape.row_bytes[p];
  if (!fits) return Error{ErrorCode::kInvalidArgument, "quantize_rows: planes are not as long as the rows"};
  const auto& share = traits(format).plane_bytes;
  for (size_t r = 0; r < rows; ++r) {
    const auto row = values.subspan(r * cols, cols);
    std::byte* quants = planes[0].data() + r * shape.row_bytes[0];
    std::byte* scales = planes[1].data() + r * shape.row_bytes[1];
    std::memset(quants, 0, shape.row_bytes[0]);
    std::memset(scales, 0, shape.row_bytes[1]);
    if (format == WeightFormat::kF8) {
      quantize_f8_row(row, group == 0 ? cols : group, quants, scales);
      continue;
    }
    for (uint32_t b = 0; b < cols / kBlock; ++b) {
      Block x;
      std::transform(row.begin() + b * kBlock, row.begin() + (b + 1) * kBlock, x.begin(), finite);
      std::byte* q = quants + size_t{b} * share[0];
      std::byte* s = scales + size_t{b} * share[1];
      if (format == WeightFormat::kQ8_0) quantize_q8_0(x, q, s);
      else if (format == WeightFormat::kQ4_0) quantize_q4_0(x, q, s);
      else quantize_q4_1(x, q, s);
    }
  }
  return {};
}

}  // namespace lahar::quant
