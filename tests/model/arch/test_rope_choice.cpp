// RoPE that is stretched because the user says so, or because a streaming cache is longer than what a model knows.
#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <numbers>

#include "rope_choice.h"

namespace lahar {
namespace {

constexpr uint32_t kTrained = 256;

ModelSpec model(RopeConfig config = {}, uint32_t dims = 32) {
  ModelSpec spec;
  spec.context_length = 512;
  if (config.original_context == 0) config.original_context = kTrained;
  spec.ropes.push_back({.dims = dims, .config = std::move(config)});
  spec.layers.resize(2);
  for (LayerSpec& layer : spec.layers) layer.attention = {.heads = 1, .kv_heads = 1, .head_dim = dims, .rope = 0};
  return spec;
}

// Applies the choice and computes the tables, as opening an engine does. What is logged goes to `lines`.
Status apply(ModelSpec& spec, const RopeChoice& choice, uint32_t context, bool streaming, std::string* lines = nullptr) {
  const Log log([&](LogLevel level, std::string_view text) {
    if (lines != nullptr) *lines += (level == LogLevel::kWarning ? "warning: " : "") + std::string(text) + "\n";
  });
  LAHAR_TRY(choose_rope(spec, choice, context, streaming, log));
  return set_context(spec, context);
}

double plain(double base, int i, double dims) { return std::pow(base, -2.0 * i / dims); }

// arXiv 2309.00071, in terms of how often a dim turns within the trained length: dims that turn 32 times keep their
// frequency, those that turn once have it divided. The ramp lies between whole dims, as in transformers.
double yarn(double base, int i, double dims, double factor, double trained) {
  const auto dim_of = [&](double turns) {
    return dims / 2 * std::log(trained / (2 * std::numbers::pi * turns)) / std::log(base);
  };
  const double low = std::max(std::floor(dim_of(32)), 0.0), high = std::min(std::ceil(dim_of(1)), dims - 1);
  const double part = std::min(std::max((i - low) / (high - low), 0.0), 1.0);
  return plain(base, i, dims) * (1 - part + part / factor);
}

void expect_table(const RopeSpec& rope, const std::function<double(int)>& expected) {
  ASSERT_EQ(rope.inverse_frequencies.size(), rope.dims / 2);
  for (uint32_t i = 0; i < rope.dims / 2; ++i)
    EXPECT_NEAR(rope.inverse_frequencies[i] / expected(static_cast<int>(i)), 1, 2e-7) << i;
}

TEST(RopeChoice, NothingChosenChangesNothing) {
  for (const uint32_t context : {0u, 100u, 512u, 5000u}) {
    ModelSpec spec = model(), untouched = model();
    ASSERT_TRUE(apply(spec, {}, context, false).ok());
    ASSERT_TRUE(set_context(untouched, context).ok());
    EXPECT_EQ(spec.ropes[0].inverse_frequencies, untouched.ropes[0].inverse_frequencies);
    EXPECT_EQ(spec.ropes[0].magnitude, 1);
    EXPECT_EQ(spec.context_length, 512u);
  }
}

TEST(RopeChoice, AStreamingCacheStretchesWhatIsLongerThanTheTrainedLength) {
  for (const uint32_t cache : {128u, 256u, 272u, 656u, 5120u}) {
    for (const uint32_t dims : {32u, 64u, 128u}) {
      ModelSpec spec = model({}, dims);
      std::string lines;
      ASSERT_TRUE(apply(spec, {}, cache, true, &lines).ok());
      if (cache <= kTrained) {
        EXPECT_EQ(spec.ropes[0].config.scaling, RopeScaling::kNone);
        EXPECT_EQ(lines, "");
        continue;
      }
      const double factor = cache / 256.0;
      expect_table(spec.ropes[0], [&](int i) { return yarn(10000, i, dims, factor, kTrained); });
      EXPECT_NEAR(spec.ropes[0].magnitude, 1 + 0.1 * std::log(factor), 1e-7);
      EXPECT_NE(lines.find("holds " + std::to_string(cache) + " tokens, the model was trained on 256"), std::string::npos)
          << lines;
    }
  }
}

TEST(RopeChoice, StreamingStretchesAYarnFurther) {
  // GGUF: the magnitude is in attention_factor; Hugging Face: derived.
  for (const double magnitude : {0.0, 0.9 * yarn_magnitude(2)}) {
    ModelSpec spec = model({.scaling = RopeScaling::kYarn, .factor = 2, .attention_factor = magnitude});
    ModelSpec enough = spec;
    ASSERT_TRUE(apply(enough, {}, 512, true).ok());
    EXPECT_EQ(enough.ropes[0].config.factor, 2);
    ASSERT_TRUE(apply(spec, {}, 1024, true).ok());
    EXPECT_EQ(spec.ropes[0].config.factor, 4);
    expect_table(spec.ropes[0], [&](int i) { return yarn(10000, i, 32, 4, kTrained); });
    EXPECT_NEAR(spec.ropes[0].magnitude, (magnitude == 0 ? 1 : 0.9) * (1 + 0.1 * std::log(4.0)), 1e-6);
  }
}

TEST(RopeChoice, OtherScalingsStayAndTheLogWarns) {
  for (const RopeScaling scaling : {RopeScaling::kLinear, RopeScaling::kLlama3, RopeScaling::kDynamicNtk}) {
    const RopeConfig config{.scaling = scaling, .factor = 2, .trained_context = 256};
    for (const uint32_t cache : {512u, 656u}) {
      ModelSpec spec = model(config);
      std::string lines;
      ASSERT_TRUE(apply(spec, {}, cache, true, &lines).ok());
      EXPECT_EQ(spec.ropes[0].config.scaling, scaling);
      EXPECT_EQ(spec.ropes[0].config.factor, 2);
      // Dynamic NTK is computed for the context anyway.
      const bool warned = lines.find("warning: ") != std::string::npos;
      EXPECT_EQ(warned, cache == 656 && scaling != RopeScaling::kDynamicNtk) << lines;
    }
  }
  ModelSpec latent = model();
  latent.layers[0].mixer = Mixer::kMla;
  std::string lines;
  ASSERT_TRUE(apply(latent, {}, 656, true, &lines).ok());
  EXPECT_EQ(latent.ropes[0].config.scaling, RopeScaling::kNone);
  EXPECT_NE(lines.find("latent attention"), std::string::npos) << lines;
}

TEST(RopeChoice, LayersWithAWindowAreStretchedOnlyAsFarAsTheySee) {
  ModelSpec spec = model();
  spec.ropes.push_back(spec.ropes[0]);
  spec.layers[1].attention.rope = 1;
  spec.layers[1].attention.window = 200;
  ModelSpec chosen = spec, wider = spec;
  ASSERT_TRUE(apply(spec, {}, 656, true).ok());
  EXPECT_EQ(spec.ropes[0].config.factor, 656 / 256.0);
  EXPECT_EQ(spec.ropes[1].config.scaling, RopeScaling::kNone);
  ASSERT_TRUE(apply(chosen, {.scaling = RopeScaling::kYarn}, 656, false).ok());
  EXPECT_EQ(chosen.ropes[0].config.scaling, RopeScaling::kYarn);
  EXPECT_EQ(chosen.ropes[1].config.scaling, RopeScaling::kNone);
  wider.layers[1].attention.window = 512;
  ASSERT_TRUE(apply(wider, {}, 656, true).ok());
  EXPECT_EQ(wider.ropes[1].config.factor, 2);
}

TEST(RopeChoice, AFactorIsTakenAndTheContextGrows) {
  ModelSpec spec = model();
  ASSERT_TRUE(apply(spec, {.scaling = RopeScaling::kYarn, .factor = 4}, 0, false).ok());
  EXPECT_EQ(spec.context_length, 1024u);
  expect_table(spec.ropes[0], [](int i) { return yarn(10000, i, 32, 4, kTrained); });

  spec = model();
  ASSERT_TRUE(apply(spec, {.scaling = RopeScaling::kLinear, .factor = 4}, 300, false).ok());
  expect_table(spec.ropes[0], [](int i) { return plain(10000, i, 32) / 4; });
  EXPECT_EQ(spec.ropes[0].magnitude, 1);

  // Without a name the factor is linear, or for a model of YaRN, YaRN's.
  spec = model();
  ASSERT_TRUE(apply(spec, {.factor = 3}, 0, false).ok());
  EXPECT_EQ(spec.ropes[0].config.scaling, RopeScaling::kLinear);
  spec = model({.scaling = RopeScaling::kYarn, .factor = 2});
  ASSERT_TRUE(apply(spec, {.factor = 3}, 0, false).ok());
  expect_table(spec.ropes[0], [](int i) { return yarn(10000, i, 32, 3, kTrained); });
}

TEST(RopeChoice, WithoutAFactorTheContextSaysIt) {
  ModelSpec spec = model();
  ASSERT_TRUE(apply(spec, {.scaling = RopeScaling::kYarn}, 1024, false).ok());
  EXPECT_EQ(spec.ropes[0].config.factor, 4);
  spec = model();
  ASSERT_TRUE(apply(spec, {.scaling = RopeScaling::kYarn}, 0, false).ok());
  EXPECT_EQ(spec.ropes[0].config.factor, 2);
  spec = model();
  ASSERT_TRUE(apply(spec, {.scaling = RopeScaling::kYarn, .original_context = 128}, 512, false).ok());
  expect_table(spec.ropes[0], [](int i) { return yarn(10000, i, 32, 4, 128); });
  spec = model();
  ASSERT_TRUE(apply(spec, {.scaling = RopeScaling::kYarn}, 200, false).ok());
  EXPECT_EQ(spec.ropes[0].config.scaling, RopeScaling::kNone);
}

TEST(RopeChoice, WhatIsChosenCountsWhileStreaming) {
  ModelSpec spec = model();
  ASSERT_TRUE(apply(spec, {.scaling = RopeScaling::kNone}, 656, true).ok());
  expect_table(spec.ropes[0], [](int i) { return plain(10000, i, 32); });
  spec = model();
  ASSERT_TRUE(apply(spec, {.scaling = RopeScaling::kLinear, .factor = 3}, 656, true).ok());
  expect_table(spec.ropes[0], [](int i) { return plain(10000, i, 32) / 3; });
  // The trained length alone leaves the rest automatic.
  spec = model();
  ASSERT_TRUE(apply(spec, {.original_context = 328}, 656, true).ok());
  expect_table(spec.ropes[0], [](int i) { return yarn(10000, i, 32, 2, 328); });
}

TEST(RopeChoice, NoneTakesTheModelsOwnAway) {
  for (const RopeScaling scaling : {RopeScaling::kYarn, RopeScaling::kLinear, RopeScaling::kLlama3}) {
    ModelSpec spec = model({.scaling = scaling, .factor = 2});
    if (scaling == RopeScaling::kYarn) spec.ropes[0].config.attention_factor = yarn_magnitude(2);
    ASSERT_TRUE(apply(spec, {.scaling = RopeScaling::kNone}, 512, false).ok());
    expect_table(spec.ropes[0], [](int i) { return plain(10000, i, 32); });
    EXPECT_EQ(spec.ropes[0].magnitude, 1);
  }
}

TEST(RopeChoice, RefusesWhatCannotBe) {
  const auto error = [](const RopeChoice& choice, ModelSpec spec = model(), bool streaming = false) {
    const Status status = apply(spec, choice, 512, streaming);
    return status.ok() ? Error{ErrorCode::kInternal, "no error"} : status.error();
  };
  for (const double factor : {0.5, -1.0, 1e7, static_cast<double>(NAN), static_cast<double>(INFINITY)}) {
    EXPECT_EQ(error({.factor = factor}).code, ErrorCode::kInvalidArgument) << factor;
    EXPECT_NE(error({.factor = factor}).message.find("expected a factor of 1 to 1e+06"), std::string::npos);
  }
  EXPECT_EQ(error({.scaling = RopeScaling::kLlama3}).code, ErrorCode::kInvalidArgument);
  EXPECT_EQ(error({.scaling = RopeScaling::kNone, .factor = 2}).code, ErrorCode::kInvalidArgument);
  EXPECT_EQ(error({.scaling = RopeScaling::kNone, .original_context = 256}).code, ErrorCode::kInvalidArgument);
  EXPECT_EQ(error({.original_context = 256}).code, ErrorCode::kInvalidArgument);
  const ModelSpec llama3 = model({.scaling = RopeScaling::kLlama3, .factor = 2});
  EXPECT_EQ(error({.original_context = 128}, llama3, true).code, ErrorCode::kInvalidArgument);

  ModelSpec without = model();
  without.ropes.clear();
  for (LayerSpec& layer : without.layers) layer.attention.rope = -1;
  EXPECT_EQ(error({.factor = 2}, without).code, ErrorCode::kUnsupported);
  EXPECT_EQ(error({.scaling = RopeScaling::kYarn}, model({.scaling = RopeScaling::kLongRope})).code,
            ErrorCode::kUnsupported);
  ModelSpec latent = model();
  latent.layers[1].mixer = Mixer::kMla;
  EXPECT_EQ(error({.scaling = RopeScaling::kYarn}, latent).code, ErrorCode::kUnsupported);
  EXPECT_EQ(error({}, latent).message, "no error");
}

}  // namespace
}  // namespace lahar
