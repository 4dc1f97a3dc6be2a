// Encoders of the file types: how much they lose, what they keep exactly, and blocks that invite mistakes.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <random>
#include <vector>

#include "quant/encode.h"
#include "quant/replane.h"
#include "quant/tables.h"

namespace lahar::quant {
namespace {

constexpr uint32_t kCols = 512;

std::vector<float> normal_values(size_t n, uint32_t seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  std::vector<float> values(n);
  for (float& v : values) v = normal(random);
  return values;
}

std::vector<float> there_and_back(DType type, uint32_t cols, std::span<const float> values,
                                  std::span<const float> importance = {}) {
  std::vector<std::byte> bytes(values.size() / cols * file_row_bytes(type, cols));
  const Status status = encode_rows(type, cols, values, importance, bytes);
  EXPECT_TRUE(status.ok()) << (status.ok() ? "" : status.error().message);
  std::vector<float> back(values.size(), NAN);
  EXPECT_TRUE(to_floats(type, bytes, back).ok());
  return back;
}

// The square root of the mean of importance * error^2.
double error_of(std::span<const float> values, std::span<const float> back, std::span<const float> importance = {}) {
  double sum = 0;
  for (size_t i = 0; i < values.size(); ++i) {
    const double e = double{values[i]} - back[i];
    sum += e * e * (importance.empty() ? 1 : importance[i % importance.size()]);
  }
  return std::sqrt(sum / static_cast<double>(values.size()));
}

// Values rounded the plain way, the largest magnitude of a block becoming the largest quant.
std::vector<float> plain_rounding(DType type, std::span<const float> values) {
  std::vector<float> out(values.size());
  const size_t block = type == DType::kQ6_K ? 16 : 32;
  for (size_t at = 0; at < values.size(); at += block) {
    const auto x = values.subspan(at, block);
    float peak = 0, low = 0, high = 0;
    for (float v : x) {
      if (std::fabs(v) > std::fabs(peak)) peak = v;
      low = std::min(low, v), high = std::max(high, v);
    }
    for (size_t i = 0; i < block; ++i) {
      float& y = out[at + i];
      if (type == DType::kQ4_K) {
        const float d = (high - low) / 15;
        y = low + d * std::round((x[i] - low) / d);
      } else if (type == DType::kIQ4_NL) {
        const float d = peak / -127;
        y = INFINITY;
        for (const int8_t q : kIq4Values)
          if (std::fabs(d * q - x[i]) < std::fabs(y - x[i])) y = d * q;
      } else if (type == DType::kMXFP4) {
        const float d = std::ldexp(1.0f, std::ilogb(peak) - 2);
        y = 0;
        for (const float q : kE2m1Values)
          if (std::fabs(d * q - std::fabs(x[i])) < std::fabs(std::fabs(y) - std::fabs(x[i]))) y = std::copysign(d * q, x[i]);
      } else {
        const float most = type == DType::kQ6_K ? 32 : 8, d = peak / -most;
        y = d * std::clamp(std::round(x[i] / d), -most, most - 1);
      }
    }
  }
  return out;
}

struct Bound {
  DType type;
  double error;        // on values of deviation 1
  double improvement;  // share of the error of plain rounding that is gone at least
};
constexpr Bound kBounds[] = {{DType::kQ8_0, 0.0055, 0},   {DType::kQ4_0, 0.0815, 0.05}, {DType::kQ4_1, 0.074, 0},
                             {DType::kQ4_K, 0.072, 0.04}, {DType::kQ6_K, 0.0180, 0.02}, {DType::kIQ4_NL, 0.0765, 0.05},
                             {DType::kMXFP4, 0.115, 0.02}};

class Encode : public ::testing::TestWithParam<Bound> {};

TEST_P(Encode, LosesNoMoreThanTheFormatMust) {
  const auto [type, bound, improvement] = GetParam();
  const auto values = normal_values(64 * kCols, 11);
  const double found = error_of(values, there_and_back(type, kCols, values));
  RecordProperty("error", std::to_string(found));
  EXPECT_LT(found, bound);
  EXPECT_GT(found, bound * 0.8) << "the bound is worth little";
  if (improvement > 0) { EXPECT_LT(found, error_of(values, plain_rounding(type, values)) * (1 - improvement)); }
}

TEST_P(Encode, SizeOfTheValuesDoesNotMatter) {
  const auto [type, bound, improvement] = GetParam();
  for (const float scale : {1e-3f, 0.02f, 300.0f}) {
    auto values = normal_values(8 * kCols, 12);
    for (float& v : values) v *= scale;
    EXPECT_LT(error_of(values, there_and_back(type, kCols, values)) / scale, bound * 1.1) << scale;
  }
}

// Where columns differ in importance, those that matter come out better than without it, as does the weighted sum.
TEST_P(Encode, ImportanceMovesTheError) {
  const DType type = GetParam().type;
  if (type == DType::kQ8_0) GTEST_SKIP() << "Q8_0's scales are not searched for";
  const auto values = normal_values(64 * kCols, 13);
  std::vector<float> importance(kCols, 0.05f);
  for (size_t i = 0; i < kCols; i += 5) importance[i] = 4;
  const double without = error_of(values, there_and_back(type, kCols, values), importance);
  const double with = error_of(values, there_and_back(type, kCols, values, importance), importance);
  EXPECT_LT(with, without * (type == DType::kMXFP4 ? 0.999 : 0.98));  // MXFP4 has three scales to choose from
}

// What a decoder gave is encoded to the same values: its scale is among those that are tried.
TEST_P(Encode, WhatIsOnTheGridStays) {
  const DType type = GetParam().type;
  const auto once = there_and_back(type, kCols, normal_values(4 * kCols, 14));
  const double again = error_of(once, there_and_back(type, kCols, once));
  EXPECT_LT(again, GetParam().error * 0.2);
}

TEST_P(Encode, OddBlocks) {
  const DType type = GetParam().type;
  const double bound = GetParam().error;
  const std::vector<float> zeros(kCols, 0.0f);
  EXPECT_EQ(error_of(zeros, there_and_back(type, kCols, zeros)), 0);
  for (const float constant : {-3.0f, 3.0f}) {
    const std::vector<float> same(kCols, constant);
    EXPECT_LT(error_of(same, there_and_back(type, kCols, same)), type == DType::kMXFP4 ? 0.51 : 0.03) << constant;
  }
  for (const float outlier : {1000.0f, -1000.0f}) {
    auto values = normal_values(kCols, 15);
    values[37] = outlier;
    const auto back = there_and_back(type, kCols, values);
    EXPECT_NEAR(back[37], outlier, 40) << "the outlier";
    EXPECT_LT(error_of(std::span(values).subspan(256), std::span(back).subspan(256)), bound * 1.3) << "the other blocks";
  }
}

TEST_P(Encode, WhatIsNoNumberIsZero) {
  const DType type = GetParam().type;
  const auto values = normal_values(kCols, 16);
  auto odd = values, zeroed = values;
  for (const size_t i : {3u, 40u, 41u, 300u}) zeroed[i] = 0;
  odd[3] = NAN, odd[40] = INFINITY, odd[41] = -INFINITY, odd[300] = -NAN;
  EXPECT_EQ(there_and_back(type, kCols, odd), there_and_back(type, kCols, zeroed));
}

TEST_P(Encode, ExtremesStayFinite) {
  const DType type = GetParam().type;
  constexpr float kTiny = std::numeric_limits<float>::denorm_min();
  for (const float size : {kTiny, 1e-39f, 1e-30f, 1e-12f, 1e-7f, 1e-5f, 1e5f, 1e20f, std::numeric_limits<float>::max()}) {
    auto values = normal_values(kCols, 17);
    for (float& v : values) v = std::clamp(v / 4, -1.0f, 1.0f) * size;
    const auto back = there_and_back(type, kCols, values);
    for (size_t i = 0; i < kCols; ++i) {
      ASSERT_TRUE(std::isfinite(back[i])) << size;
      ASSERT_LE(std::fabs(back[i]), 1.5f * size) << size;
    }
    EXPECT_LE(error_of(values, back), error_of(values, std::vector<float>(kCols, 0.0f)) * 1.001) << size;
  }
}

INSTANTIATE_TEST_SUITE_P(Quant, Encode, ::testing::ValuesIn(kBounds),
                         [](const auto& info) { return std::string(to_string(info.param.type)); });

TEST(EncodePlain, RoundsToNearest) {
  const std::vector<float> values{1.0f, -0.333333343f, 65519.0f, 1e6f, NAN, -1e30f, 3.4e38f, 0.0f};
  const auto half = there_and_back(DType::kF16, 8, values), bf16 = there_and_back(DType::kBF16, 8, values);
  EXPECT_EQ(half, (std::vector<float>{1, half_to_float(0xb555), 65504, 65504, 0, -65504, 65504, 0}));
  EXPECT_EQ(bf16[1], -0x1.56p-2f);
  EXPECT_EQ(bf16[2], 65536);
  EXPECT_EQ(bf16[6], 0x1.fep127f);
  EXPECT_EQ(there_and_back(DType::kF32, 8, values)[3], 1e6f);
  for (uint32_t b = 0; b < 65536; ++b)
    if (const float f = bf16_to_float(static_cast<uint16_t>(b)); !std::isnan(f)) { ASSERT_EQ(float_to_bf16(f), b); }
}

TEST(EncodeF8, AScaleForEachGroup) {
  const auto values = normal_values(320, 18);
  std::vector<std::byte> bytes(320);
  std::vector<float> scales(3), back(320);
  encode_f8_row(values, 128, bytes, scales);
  ASSERT_TRUE(to_floats(DType::kF8E4M3, bytes, back).ok());
  for (size_t i = 0; i < back.size(); ++i) back[i] *= scales[i / 128];
  EXPECT_LT(error_of(values, back), 0.027);
}

TEST(EncodeRefuses, TypesAndSizes) {
  std::vector<float> values(256, 1.0f);
  std::vector<std::byte> out(1024);
  EXPECT_FALSE(can_encode(DType::kQ2_K));
  EXPECT_FALSE(encode_rows(DType::kQ2_K, 256, values, {}, std::span(out).first(84)).ok());
  EXPECT_TRUE(encode_rows(DType::kQ4_K, 256, values, {}, std::span(out).first(144)).ok());
  EXPECT_FALSE(encode_rows(DType::kQ4_K, 128, values, {}, std::span(out).first(144)).ok());
  EXPECT_FALSE(encode_rows(DType::kQ4_K, 256, values, {}, std::span(out).first(143)).ok());
  EXPECT_FALSE(encode_rows(DType::kQ4_K, 256, values, std::span(values).first(255), std::span(out).first(144)).ok());
  EXPECT_FALSE(encode_rows(DType::kF32, 0, {}, {}, {}).ok());
}

}  // namespace
}  // namespace lahar::quant
