// The weight formats on the host: small floats bit by bit, plane layouts, the split of file rows into planes in one go and
// in pieces, conversion to the formats of --quantize.
#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <random>
#include <vector>

#include "quant/formats.h"
#include "quant/quantize.h"
#include "quant/replane.h"

namespace lahar::quant {
namespace {

using Planes = std::array<std::vector<std::byte>, kMaxPlanes>;

Planes make_planes(const Layout& l) {
  Planes planes;
  for (uint32_t p = 0; p < l.planes; ++p) planes[p].assign(l.plane_bytes[p], std::byte{0xee});
  return planes;
}
std::array<std::span<std::byte>, kMaxPlanes> spans(Planes& p) { return {p[0], p[1], p[2]}; }
std::array<std::span<const std::byte>, kMaxPlanes> const_spans(const Planes& p) { return {p[0], p[1], p[2]}; }

std::vector<std::byte> random_bytes(size_t n, uint64_t seed) {
  std::mt19937_64 random(seed);
  std::vector<std::byte> bytes(n);
  for (std::byte& b : bytes) b = static_cast<std::byte>(random());
  return bytes;
}

bool same(float a, float b) {
  return (std::isnan(a) && std::isnan(b)) || std::bit_cast<uint32_t>(a) == std::bit_cast<uint32_t>(b);
}

// sign * mantissa * 2^exponent by its fields, in double.
double from_fields(uint32_t bits, int exponent_bits, int mantissa_bits, int bias) {
  const uint32_t mantissa = bits & ((1u << mantissa_bits) - 1);
  const int exponent = static_cast<int>(bits >> mantissa_bits & ((1u << exponent_bits) - 1));
  const double sign = bits >> (exponent_bits + mantissa_bits) & 1 ? -1 : 1;
  const double fraction = std::ldexp(mantissa, -mantissa_bits);
  return sign * (exponent == 0 ? std::ldexp(fraction, 1 - bias) : std::ldexp(1 + fraction, exponent - bias));
}

TEST(FloatBits, EveryHalf) {
  for (uint32_t h = 0; h < 65536; ++h) {
    const float f = half_to_float(static_cast<uint16_t>(h));
    if ((h & 0x7c00) == 0x7c00) {
      ASSERT_EQ(std::isnan(f), (h & 0x3ff) != 0) << h;
      ASSERT_TRUE(std::isnan(f) || std::isinf(f)) << h;
    } else {
      ASSERT_TRUE(same(f, static_cast<float>(from_fields(h, 5, 10, 15)))) << h;
    }
    if (!std::isnan(f)) { ASSERT_EQ(float_to_half(f), h); }
  }
}

TEST(FloatBits, HalvesRoundToNearestEven) {
  for (uint32_t h = 0; h < 0x7bff; ++h) {
    const float low = half_to_float(static_cast<uint16_t>(h)), high = half_to_float(static_cast<uint16_t>(h + 1));
    const float middle = (low + high) / 2;  // exact in float
    ASSERT_EQ(float_to_half(middle), h + (h & 1)) << h;
    ASSERT_EQ(float_to_half(std::nextafter(middle, low)), h);
    ASSERT_EQ(float_to_half(std::nextafter(middle, high)), h + 1);
    ASSERT_EQ(float_to_half(-middle), 0x8000 + h + (h & 1));
  }
  EXPECT_EQ(float_to_half(65519.9f), 0x7bff);
  EXPECT_EQ(float_to_half(65520.0f), 0x7c00);
  EXPECT_EQ(float_to_half(-INFINITY), 0xfc00);
  EXPECT_TRUE(std::isnan(half_to_float(float_to_half(NAN))));
}

TEST(FloatBits, EveryFp8) {
  for (uint32_t v = 0; v < 256; ++v) {
    const float f = e4m3_to_float(static_cast<uint8_t>(v));
    if ((v & 0x7f) == 0x7f) {
      ASSERT_TRUE(std::isnan(f)) << v;
      continue;
    }
    ASSERT_TRUE(same(f, static_cast<float>(from_fields(v, 4, 3, 7)))) << v;
    ASSERT_EQ(float_to_e4m3(f), v);
  }
  for (uint32_t v = 0; v < 0x7e; ++v) {
    const float low = e4m3_to_float(static_cast<uint8_t>(v)), high = e4m3_to_float(static_cast<uint8_t>(v + 1));
    const float middle = (low + high) / 2;
    ASSERT_EQ(float_to_e4m3(middle), v + (v & 1)) << v;
    ASSERT_EQ(float_to_e4m3(std::nextafter(middle, high)), v + 1);
  }
  EXPECT_EQ(float_to_e4m3(1e9f), 0x7e);
  EXPECT_EQ(float_to_e4m3(-1e9f), 0xfe);
  EXPECT_TRUE(std::isnan(e4m3_to_float(float_to_e4m3(NAN))));
}

TEST(Layout, RowsAreAlignedAndAddUp) {
  const Layout q = *layout(WeightFormat::kQ4_0, 3, 96);
  EXPECT_EQ(q.planes, 2u);
  EXPECT_EQ(q.row_bytes[0], 48u);
  EXPECT_EQ(q.row_bytes[1], 16u);
  EXPECT_EQ(q.total_bytes, 3u * 64);
  EXPECT_EQ(q.plane_offset(1), 144u);
  const Layout f = *layout(WeightFormat::kF8, 2, 100, 48);
  EXPECT_EQ(f.row_bytes[0], 112u);
  EXPECT_EQ(f.row_bytes[1], 16u);
  EXPECT_EQ(layout(WeightFormat::kF8, 2, 100)->row_bytes[1], 16u);
  EXPECT_EQ(layout(WeightFormat::kF16, 1 << 20, 1 << 16)->total_bytes, uint64_t{1} << 37);
}

TEST(Layout, RefusesWhatDoesNotFit) {
  EXPECT_FALSE(layout(WeightFormat::kQ8_0, 1, 33).ok());
  EXPECT_FALSE(layout(WeightFormat::kQ4_K, 1, 128).ok());
  EXPECT_FALSE(layout(WeightFormat::kF8, 1, 100, 20).ok());
  EXPECT_FALSE(layout(WeightFormat::kF32, 0, 4).ok());
  EXPECT_FALSE(layout(WeightFormat::kF32, 1, 0xffffffffu).ok());
  EXPECT_FALSE(layout(WeightFormat::kI4, 1, 128, 16).ok());
  EXPECT_FALSE(format_for(DType::kIQ1_M).has_value());
  EXPECT_EQ(format_for(DType::kF8E4M3), WeightFormat::kF8);
}

class EveryFormat : public ::testing::TestWithParam<int> {
 protected:
  WeightFormat format() const { return static_cast<WeightFormat>(GetParam()); }
};

TEST_P(EveryFormat, PlanesHoldTheFilesValues) {
  const FormatTraits& t = traits(format());
  const uint32_t rows = 5, cols = t.block_values == 1 ? 37 : t.block_values * 3;
  const uint32_t group = t.grouped ? std::max(16u, t.block_values) : 0;
  const std::vector<std::byte> file = random_bytes(file_row_bytes(t.file, cols) * rows, 3);
  const Layout l = *layout(format(), rows, cols, group);
  Planes planes = make_planes(l);
  std::vector<float> scales;
  for (uint32_t i = 0; t.grouped && i < rows * groups_in_row(cols, group); ++i)
    scales.push_back(0.5f + static_cast<float>(i));
  for (uint32_t p = 0; p < l.planes; ++p) {
    if (t.grouped && p == 1) {
      ASSERT_TRUE(store_scales(cols, group, scales, planes[p]).ok());
      continue;
    }
    if (!t.table.empty() && p + 1 == l.planes) {
      EXPECT_EQ(l.row_bytes[p], 0u);
      EXPECT_FALSE(replane(format(), cols, file, p, planes[p]).ok());
      continue;
    }
    ASSERT_TRUE(replane(format(), cols, file, p, planes[p]).ok());
    // The same in pieces of two rows and of one.
    std::vector<std::byte> pieces(planes[p].size());
    const size_t in = file_row_bytes(t.file, cols), out = l.row_bytes[p];
    for (const auto& [first, n] : {std::pair<size_t, size_t>{0, 2}, {2, 2}, {4, 1}})
      ASSERT_TRUE(replane(format(), cols, std::span(file).subspan(first * in, n * in), p,
                          std::span(pieces).subspan(first * out, n * out))
                      .ok());
    EXPECT_EQ(pieces, planes[p]);
    const size_t used = size_t{cols / t.block_values} * t.plane_bytes[p];
    for (uint32_t r = 0; r < rows; ++r)
      for (size_t i = used; i < out; ++i) ASSERT_EQ(planes[p][r * out + i], std::byte{0});
  }
  std::vector<float> expected(size_t{rows} * cols), found(expected.size());
  ASSERT_TRUE(to_floats(t.file, file, expected).ok());
  ASSERT_TRUE(planes_to_floats(format(), rows, cols, group, const_spans(planes), found).ok());
  for (size_t i = 0; i < expected.size(); ++i) {
    const float scale = t.grouped ? scales[i / cols * groups_in_row(cols, group) + i % cols / group] : 1;
    const float weight = format() == WeightFormat::kI4 ? I4::apply(expected[i], scale) : expected[i] * scale;
    ASSERT_TRUE(same(found[i], weight)) << i;
  }
}

TEST_P(EveryFormat, WrongSizesAreRefused) {
  const FormatTraits& t = traits(format());
  const uint32_t cols = t.block_values == 1 ? 32 : t.block_values;
  const std::vector<std::byte> file(file_row_bytes(t.file, cols) * 2);
  const Layout l = *layout(format(), 2, cols);
  std::vector<std::byte> plane(l.plane_bytes[0]);
  EXPECT_TRUE(replane(format(), cols, file, 0, plane).ok());
  EXPECT_FALSE(replane(format(), cols, std::span(file).first(file.size() - 1), 0, plane).ok());
  EXPECT_FALSE(replane(format(), cols, file, 0, std::span(plane).first(plane.size() - 1)).ok());
  EXPECT_FALSE(replane(format(), cols, file, 3, plane).ok());
  std::vector<float> out(cols);
  EXPECT_FALSE(to_floats(t.file, file, out).ok());
}

INSTANTIATE_TEST_SUITE_P(Quant, EveryFormat, ::testing::Range(0, static_cast<int>(WeightFormat::kCount)),
                         [](const auto& info) { return std::string(to_string(static_cast<WeightFormat>(info.param))); });

// Relative to the deviation of normally distributed weights.
double quantization_error(WeightFormat format, uint32_t cols, uint32_t group, std::vector<float> values) {
  const auto rows = static_cast<uint32_t>(values.size() / cols);
  Planes planes = make_planes(*layout(format, rows, cols, group));
  const Status status = quantize_rows(format, cols, group, values, spans(planes));
  EXPECT_TRUE(status.ok()) << (status.ok() ? "" : status.error().message);
  std::vector<float> back(values.size());
  EXPECT_TRUE(planes_to_floats(format, rows, cols, group, const_spans(planes), back).ok());
  double sum = 0;
  for (size_t i = 0; i < values.size(); ++i) {
    const double e = std::isfinite(values[i]) ? double{values[i]} - back[i] : back[i];
    sum += e * e;
  }
  return std::sqrt(sum / static_cast<double>(values.size()));
}

TEST(Quantize, ErrorsAreThoseOfTheFormats) {
  std::mt19937 random(11);
  std::normal_distribution<float> normal;
  std::vector<float> values(64 * 512);
  for (float& v : values) v = normal(random);
  EXPECT_LT(quantization_error(WeightFormat::kQ8_0, 512, 0, values), 0.006);
  EXPECT_LT(quantization_error(WeightFormat::kQ4_0, 512, 0, values), 0.083);
  EXPECT_LT(quantization_error(WeightFormat::kQ4_1, 512, 0, values), 0.075);
  EXPECT_LT(quantization_error(WeightFormat::kF8, 512, kFp8Group, values), 0.027);
  EXPECT_LT(quantization_error(kInt4Format, 512, 0, values), quantization_error(WeightFormat::kQ4_0, 512, 0, values));
}

TEST(Quantize, ZerosConstantsAndWhatIsNoNumber) {
  for (const WeightFormat format : {WeightFormat::kQ8_0, WeightFormat::kQ4_0, WeightFormat::kQ4_1, WeightFormat::kF8}) {
    EXPECT_EQ(quantization_error(format, 32, 0, std::vector<float>(64, 0.0f)), 0) << to_string(format);
    EXPECT_LT(quantization_error(format, 32, 0, std::vector<float>(64, -3.0f)), 0.01) << to_string(format);
    std::vector<float> odd(32, 1.0f);
    odd[3] = NAN, odd[4] = INFINITY;
    EXPECT_LT(quantization_error(format, 32, 0, odd), 0.05) << to_string(format);
  }
  EXPECT_FALSE(can_quantize(WeightFormat::kQ8_0, 40));
  EXPECT_FALSE(can_quantize(WeightFormat::kQ4_K, 256));
}

}  // namespace
}  // namespace lahar::quant
