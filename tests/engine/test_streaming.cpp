// Endless generation: sinks and a rolling window in a cache of constant size.
#include "engine/engine_test.h"
#include "lahar/pumice.h"

namespace lahar::test {
namespace {

class StreamingTest : public GpuTest {
 protected:
  std::unique_ptr<Engine> open(const EngineOptions& options) {
    const auto source = ModelSource::from_memory(pumice_gguf(), "pumice");
    EXPECT_TRUE(source.ok()) << why(source);
    auto engine = open_engine(device().shared_from_this(), **source, {.engine = options});
    EXPECT_TRUE(engine.ok()) << why(engine);
    return engine.ok() ? std::move(engine).value() : nullptr;
  }
  static std::vector<int32_t> prompt(uint32_t n) {
    std::vector<int32_t> tokens(n);
    for (uint32_t i = 0; i < n; ++i) tokens[i] = static_cast<int32_t>(3 + i * 7 % 1000);
    return tokens;
  }
};

TEST_F(StreamingTest, WhatFitsIsAsWithoutIt) {
  const auto plain = open({.context = 256, .precision = ops::Precision::kF32});
  const auto streaming = open({.precision = ops::Precision::kF32, .streaming = {4, 128}});
  ASSERT_TRUE(plain && streaming);
  for (const uint32_t n : {20u, 35u}) {
    const std::vector<int32_t> tokens = prompt(n);
    const auto expected = plain->generate({.prompt = tokens, .max_tokens = 40, .sampling = {.temperature = 0}});
    const auto got = streaming->generate({.prompt = tokens, .max_tokens = 40, .sampling = {.temperature = 0}});
    ASSERT_TRUE(expected.ok() && got.ok()) << why(got);
    EXPECT_EQ(got->tokens, expected->tokens);
  }
}

// Far beyond the cache the model is as sure of its words as it was within.
TEST_F(StreamingTest, GoesOnInConstantMemory) {
  constexpr uint32_t kTokens = 3000, kWithin = 150;
  const auto engine = open({.streaming = {4, 128}});
  ASSERT_TRUE(engine);
  EXPECT_LT(engine->context(), 256u);
  uint32_t tokens = 0, odd = 0;
  uint64_t memory = 0, most = 0;
  double within = 0, beyond = 0;
  const auto outcome = engine->generate({.prompt = prompt(8),
                                         .max_tokens = kTokens,
                                         .sampling = {.temperature = 0.7f, .seed = 5},
                                         .on_token = [&](int32_t, const params::SampleRecord& record) {
                                           if (!std::isfinite(record.logprob) || !std::isfinite(record.entropy)) ++odd;
                                           (tokens < kWithin ? within : beyond) += record.entropy;
                                           ++tokens;
                                           const uint64_t used = device().memory_use().used;
                                           if (tokens == 2 * kWithin) memory = used;
                                           if (tokens > 2 * kWithin) most = std::max(most, used);
                                           return true;
                                         }});
  ASSERT_TRUE(outcome.ok()) << why(outcome);
  EXPECT_EQ(outcome->reason, StopReason::kLength);
  EXPECT_EQ(outcome->tokens.size(), kTokens);
  EXPECT_EQ(odd, 0u);
  EXPECT_LE(most, memory);
  within /= kWithin, beyond /= kTokens - kWithin;
  EXPECT_LE(beyond, 1.25 * within + 0.25) << "within the cache: " << within;
}

// The built-in model was trained on 256 tokens. A cache of more stretches its RoPE; without that the model loses the thread.
TEST_F(StreamingTest, ACacheBeyondTheTrainedLengthStretchesRope) {
  constexpr uint32_t kTokens = 1800, kCache = 656;
  struct Sureness {
    RopeSpec rope;
    std::string log;
    double entropy = 0;  // of a token behind the first kCache, in nats
  };
  const auto run = [&](const RopeChoice& choice) {
    Sureness result;
    const auto engine = open({.streaming = {4, 512}, .rope = choice, .log = Log([&](LogLevel, std::string_view text) {
                                                                       result.log += std::string(text) + "\n";
                                                                     })});
    if (!engine) return result;
    EXPECT_EQ(engine->context(), kCache);
    result.rope = engine->spec().ropes[0];
    uint32_t tokens = 0;
    const auto outcome = engine->generate({.prompt = prompt(8),
                                           .max_tokens = kTokens,
                                           .sampling = {.temperature = 0.7f, .seed = 5},
                                           .on_token = [&](int32_t, const params::SampleRecord& record) {
                                             if (++tokens > kCache) result.entropy += record.entropy / (kTokens - kCache);
                                             return true;
                                           }});
    EXPECT_TRUE(outcome.ok()) << why(outcome);
    return result;
  };
  const Sureness stretched = run({}), left = run({.scaling = RopeScaling::kNone});
  EXPECT_EQ(stretched.rope.config.scaling, RopeScaling::kYarn);
  EXPECT_EQ(stretched.rope.config.factor, kCache / 256.0);
  EXPECT_NE(stretched.log.find("RoPE is stretched by YaRN, factor 2.5625"), std::string::npos) << stretched.log;
  EXPECT_EQ(left.rope.config.scaling, RopeScaling::kNone);
  EXPECT_EQ(left.log.find("stretched"), std::string::npos) << left.log;
  EXPECT_LT(stretched.entropy, 0.5 * left.entropy);
}

// Stretching is a matter of streaming alone: an ordinary engine has RoPE as the model was trained, beyond that length too.
TEST_F(StreamingTest, OrdinaryRunsAreNotStretched) {
  for (const uint32_t context : {256u, 512u, 656u}) {
    const auto engine = open({.context = context});
    ASSERT_TRUE(engine);
    const RopeSpec& rope = engine->spec().ropes[0];
    EXPECT_EQ(rope.config.original_context, 256u);
    EXPECT_EQ(rope.magnitude, 1);
    ASSERT_EQ(rope.inverse_frequencies.size(), 16u);
    for (int i = 0; i < 16; ++i)
      EXPECT_EQ(rope.inverse_frequencies[i], static_cast<float>(std::pow(10000.0, -2.0 * i / 32)));
  }
}

TEST_F(StreamingTest, APromptLongerThanTheCacheIsReadAndGoesOn) {
  const auto engine = open({.streaming = {16, 96}});
  ASSERT_TRUE(engine);
  std::vector<int32_t> tokens = prompt(700);
  const auto first = engine->generate({.prompt = tokens, .max_tokens = 20, .sampling = {.temperature = 0}});
  ASSERT_TRUE(first.ok()) << why(first);
  EXPECT_EQ(first->tokens.size(), 20u);
  EXPECT_EQ(first->stats.prompt_tokens, 700u);
  tokens.insert(tokens.end(), first->tokens.begin(), first->tokens.end());
  tokens.push_back(77), tokens.push_back(78);
  const auto second = engine->generate({.prompt = tokens, .max_tokens = 5, .sampling = {.temperature = 0}});
  ASSERT_TRUE(second.ok()) << why(second);
  EXPECT_EQ(second->stats.reused_tokens, 719u);  // the reply's last token was not fed
  // Another beginning starts afresh.
  const auto other = engine->generate({.prompt = prompt(9), .max_tokens = 5, .sampling = {.temperature = 0}});
  ASSERT_TRUE(other.ok()) << why(other);
  EXPECT_EQ(other->stats.prompt_tokens, 9u);
}

TEST_F(StreamingTest, RefusesModelsWhosePositionsAreAbsolute) {
  ModelSpec spec;
  spec.layers.resize(1);
  spec.layers[0].attention = {.heads = 1, .kv_heads = 1, .head_dim = 16, .rope = 0};
  EXPECT_TRUE(check_streaming(spec, {4, 512}).ok());
  EXPECT_EQ(check_streaming(spec, {4, 60000}).error().code, ErrorCode::kInvalidArgument);
  spec.learned_positions = true;
  EXPECT_EQ(check_streaming(spec, {4, 512}).error().code, ErrorCode::kUnsupported);
  spec.learned_positions = false;
  spec.layers[0].attention.chunk = 64;
  EXPECT_EQ(check_streaming(spec, {4, 512}).error().code, ErrorCode::kUnsupported);
  spec.layers[0] = {.mixer = Mixer::kMamba2};
  EXPECT_TRUE(check_streaming(spec, {4, 512}).ok());
  EXPECT_FALSE(must_roll(spec, {4, 512}));  // no layer has keys
}

}  // namespace
}  // namespace lahar::test
