#include <gtest/gtest.h>

#include <cmath>

#include "spec.h"

namespace lahar {

namespace {

RopeSpec table(RopeConfig config, uint32_t dims, uint32_t context = 64) {
  RopeSpec rope{.dims = dims, .config = std::move(config)};
  const Status status = compute_rope_table(rope, context);
  EXPECT_TRUE(status.ok());
  return rope;
}

double plain(double base, double i, double dims) { return 1 / std::pow(base, 2 * i / dims); }

TEST(RopeTable, Default) {
  const RopeSpec rope = table({.base = 500000}, 64);
  ASSERT_EQ(rope.inverse_frequencies.size(), 32u);
  for (int i = 0; i < 32; ++i) EXPECT_NEAR(rope.inverse_frequencies[i] / plain(500000, i, 64), 1, 1e-7);
  EXPECT_EQ(rope.magnitude, 1);
}

TEST(RopeTable, LinearDividesAll) {
  const RopeSpec rope = table({.scaling = RopeScaling::kLinear, .factor = 4}, 16);
  for (int i = 0; i < 8; ++i) EXPECT_NEAR(rope.inverse_frequencies[i] / plain(10000, i, 16), 0.25, 1e-7);
}

TEST(RopeTable, DynamicIsDefaultUpToTheTrainedContextAndStretchesBeyond) {
  const RopeConfig config{.scaling = RopeScaling::kDynamicNtk, .factor = 2, .trained_context = 512};
  for (int i = 0; i < 8; ++i) {
    EXPECT_NEAR(table(config, 16, 512).inverse_frequencies[i] / plain(10000, i, 16), 1, 1e-7);
    // Twice the context: the base grows by (2 * 2 - 1)^(16/14).
    const double base = 10000 * std::pow(3.0, 16.0 / 14);
    EXPECT_NEAR(table(config, 16, 1024).inverse_frequencies[i] / plain(base, i, 16), 1, 1e-6);
  }
}

TEST(RopeTable, Llama3KeepsFastDimsAndDividesSlowOnes) {
  const RopeConfig config{.scaling = RopeScaling::kLlama3, .base = 500000, .factor = 8, .original_context = 8192};
  const RopeSpec rope = table(config, 128);
  const auto ratio = [&](int i) { return rope.inverse_frequencies[i] / plain(500000, i, 128); };
  EXPECT_NEAR(ratio(0), 1, 1e-7);
  EXPECT_NEAR(ratio(63), 0.125, 1e-7);
  // In between: wavelength 2 pi / frequency between 8192 / 4 and 8192 / 1.
  for (int i = 0; i < 64; ++i) {
    const double turns = 8192 * plain(500000, i, 128) / (2 * std::acos(-1.0));
    if (turns < 1 || turns > 4) continue;
    const double smooth = (turns - 1) / 3;
    EXPECT_NEAR(ratio(i), (1 - smooth) / 8 + smooth, 1e-6);
    EXPECT_GT(ratio(i), 0.125);
    EXPECT_LT(ratio(i), 1);
  }
}

// As Llama 4 Scout has it: dims that turn at least once in the original context keep their frequency, the others are
// divided.
TEST(RopeTable, Llama3WithEqualFactorsIsAStep) {
  for (const double factor : {1.0, 2.5}) {
    const RopeSpec rope = table({.scaling = RopeScaling::kLlama3,
                                 .base = 500000,
                                 .factor = 16,
                                 .original_context = 8192,
                                 .low_frequency_factor = factor,
                                 .high_frequency_factor = factor},
                                128);
    int kept = 0;
    for (int i = 0; i < 64; ++i) {
      const double turns = 8192 * plain(500000, i, 128) / (2 * std::acos(-1.0));
      const double expected = turns < factor ? 1.0 / 16 : 1;
      EXPECT_NEAR(rope.inverse_frequencies[i] / plain(500000, i, 128), expected, 1e-7) << i;
      kept += expected == 1;
    }
    EXPECT_TRUE(kept > 0 && kept < 64);
  }
}

TEST(RopeTable, YarnRampsBetweenItsBounds) {
  RopeConfig config{.scaling = RopeScaling::kYarn, .factor = 4, .original_context = 4096};
  const RopeSpec rope = table(config, 128);
  EXPECT_NEAR(rope.inverse_frequencies[0], 1, 1e-7);
  EXPECT_NEAR(rope.inverse_frequencies[63] / plain(10000, 63, 128), 0.25, 1e-6);
  EXPECT_NEAR(rope.magnitude, 0.1 * std::log(4.0) + 1, 1e-7);
  // low = floor(128 ln(4096 / (32 * 2 pi)) / (2 ln 10000)) = 20, high = ceil(... 1 rotation) = 46
  const double mix = (30.0 - 20) / (46 - 20);
  EXPECT_NEAR(rope.inverse_frequencies[30] / plain(10000, 30, 128), mix / 4 + 1 - mix, 1e-6);
  config.mscale = config.mscale_all_dim = 0.7;
  EXPECT_NEAR(table(config, 128).magnitude, 1, 1e-7);
  config.mscale = 1;
  EXPECT_NEAR(table(config, 128).magnitude, (0.1 * std::log(4.0) + 1) / (0.07 * std::log(4.0) + 1), 1e-6);
  config.attention_factor = 1.5;
  EXPECT_EQ(table(config, 128).magnitude, 1.5f);
  config.truncate = false;
  const double low = 128 * std::log(4096 / (32 * 2 * std::acos(-1.0))) / (2 * std::log(10000.0));
  const double high = 128 * std::log(4096 / (2 * std::acos(-1.0))) / (2 * std::log(10000.0));
  const double exact = (30 - low) / (high - low);
  EXPECT_NEAR(table(config, 128).inverse_frequencies[30] / plain(10000, 30, 128), exact / 4 + 1 - exact, 1e-6);
}

TEST(RopeTable, LongRopeChoosesByTheContext) {
  RopeConfig config{.scaling = RopeScaling::kLongRope, .factor = 32, .original_context = 4096};
  config.short_factors.assign(8, 2.0f);
  config.long_factors.assign(8, 5.0f);
  for (int i = 0; i < 8; ++i) {
    EXPECT_NEAR(table(config, 16, 4096).inverse_frequencies[i] / plain(10000, i, 16), 0.5, 1e-6);
    EXPECT_NEAR(table(config, 16, 4097).inverse_frequencies[i] / plain(10000, i, 16), 0.2, 1e-6);
  }
  EXPECT_NEAR(table(config, 16, 100).magnitude, std::sqrt(1 + std::log(32.0) / std::log(4096.0)), 1e-6);
}

TEST(RopeTable, FactorsOfTheFileDivide) {
  RopeConfig config;
  for (int i = 1; i <= 8; ++i) config.short_factors.push_back(static_cast<float>(i));
  const RopeSpec rope = table(config, 16);
  for (int i = 0; i < 8; ++i) EXPECT_NEAR(rope.inverse_frequencies[i] / plain(10000, i, 16), 1.0 / (i + 1), 1e-6);
}

TEST(RopeTable, OfAPartThatTurnsTheOthersStay) {
  const RopeSpec rope = table({.base = 1000000, .turning = 0.25}, 48);
  ASSERT_EQ(rope.inverse_frequencies.size(), 24u);
  for (int i = 0; i < 6; ++i) EXPECT_NEAR(rope.inverse_frequencies[i] / plain(1000000, i, 48), 1, 1e-7);
  for (int i = 6; i < 24; ++i) EXPECT_EQ(rope.inverse_frequencies[i], 0);
}

TEST(RopeTable, RefusesWhatMakesNoTable) {
  RopeSpec wrong_count{.dims = 16, .config = {.short_factors = {1, 2}}};
  EXPECT_FALSE(compute_rope_table(wrong_count, 64).ok());
  RopeSpec zero_factor{.dims = 4, .config = {.short_factors = {0, 1}}};
  EXPECT_FALSE(compute_rope_table(zero_factor, 64).ok());
}

TEST(RopeTable, SetContextRecomputes) {
  ModelSpec spec;
  spec.context_length = 1024;
  spec.ropes.push_back({.dims = 16, .config = {.scaling = RopeScaling::kDynamicNtk, .factor = 2, .trained_context = 512}});
  EXPECT_TRUE(spec.rope_depends_on_context());
  ASSERT_TRUE(set_context(spec, 0).ok());
  EXPECT_EQ(spec.opened_context, 1024u);
  const float stretched = spec.ropes[0].inverse_frequencies[3];
  ASSERT_TRUE(set_context(spec, 100).ok());
  EXPECT_GT(spec.ropes[0].inverse_frequencies[3], stretched);
}

}  // namespace

}  // namespace lahar
