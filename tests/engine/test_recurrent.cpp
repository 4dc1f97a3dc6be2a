// Recurrent state through the engine: a prompt that goes on from a checkpoint gives what one from the start gives, in chunks
// of any size; states are saved and restored; benchmarks run with several sequences.
#include "engine/engine_test.h"
#include "engine/golden.h"
#include "engine/step_bench.h"
#include "test_data.h"

namespace lahar::test {
namespace {

constexpr const char* kModel = "golden/hf/mamba2";

class RecurrentTest : public GpuTest {
 protected:
  std::unique_ptr<Engine> open(const std::filesystem::path& path, EngineOptions options) {
    options.precision = ops::Precision::kF32;
    auto opened = open_model(device(), path, {.engine = options});
    EXPECT_TRUE(opened.ok()) << why(opened);
    return opened.ok() ? std::move(opened->engine) : nullptr;
  }
  static std::vector<int32_t> tokens(uint32_t n, int32_t seed = 1) {
    std::vector<int32_t> all(n);
    for (uint32_t i = 0; i < n; ++i) all[i] = static_cast<int32_t>((3 + i * 7 + i * i * seed) % 250);
    return all;
  }
  static GenerateOutcome answer(Engine& engine, const std::vector<int32_t>& prompt, uint32_t most = 12) {
    auto outcome = engine.generate({.prompt = prompt, .max_tokens = most, .sampling = {.temperature = 0}});
    EXPECT_TRUE(outcome.ok()) << why(outcome);
    return outcome.ok() ? std::move(*outcome) : GenerateOutcome{};
  }
};

TEST_F(RecurrentTest, TheSecondTurnGoesOnFromTheEndOfTheFirst) {
  LAHAR_NEED_DATA(path, kModel);
  const auto engine = open(path, {.context = 256}), fresh = open(path, {.context = 256});
  ASSERT_TRUE(engine && fresh);
  std::vector<int32_t> conversation = tokens(40);
  for (int turn = 0; turn < 3; ++turn) {
    const GenerateOutcome got = answer(*engine, conversation);
    fresh->forget();
    EXPECT_EQ(got.tokens, answer(*fresh, conversation).tokens) << "turn " << turn;
    // All of the turn before but its last token, of which there was no state yet.
    if (turn > 0) { EXPECT_GE(got.stats.reused_tokens + 9, conversation.size()) << "turn " << turn; }
    conversation.insert(conversation.end(), got.tokens.begin(), got.tokens.end());
    for (const int32_t token : tokens(7, turn + 2)) conversation.push_back(token);
  }
}

TEST_F(RecurrentTest, APromptThatPartsWaysGoesOnFromTheLastCheckpoint) {
  LAHAR_NEED_DATA(path, kModel);
  const EngineOptions options{.context = 256, .chunk = 24, .checkpoint_tokens = 32};
  const auto engine = open(path, options), fresh = open(path, options);
  ASSERT_TRUE(engine && fresh);
  answer(*engine, tokens(150));
  std::vector<int32_t> other = tokens(150);
  other[100] = 200;
  const GenerateOutcome got = answer(*engine, other);
  EXPECT_EQ(got.stats.reused_tokens, 96u);
  EXPECT_EQ(got.tokens, answer(*fresh, other).tokens);
  // Before the first checkpoint there is nothing to go on from.
  other[20] = 201;
  const GenerateOutcome from_start = answer(*engine, other);
  EXPECT_EQ(from_start.stats.reused_tokens, 0u);
  fresh->forget();
  EXPECT_EQ(from_start.tokens, answer(*fresh, other).tokens);
}

TEST_F(RecurrentTest, AStopInTheMiddleOfStepsUnderWayCanBeGoneOnFrom) {
  LAHAR_NEED_DATA(path, kModel);
  const EngineOptions options{.context = 256, .steps_in_flight = 3};
  const auto engine = open(path, options), fresh = open(path, options);
  ASSERT_TRUE(engine && fresh);
  uint32_t left = 6;
  const std::vector<int32_t> prompt = tokens(30);
  const auto cancelled = engine->generate(
      {.prompt = prompt, .sampling = {.temperature = 0}, .on_token = [&](int32_t, const auto&) { return --left > 0; }});
  ASSERT_TRUE(cancelled.ok()) << why(cancelled);
  std::vector<int32_t> longer = prompt;
  longer.insert(longer.end(), cancelled->tokens.begin(), cancelled->tokens.end());
  longer.push_back(249 - longer.back());  // not what the model would have said
  const GenerateOutcome got = answer(*engine, longer);
  EXPECT_GE(got.stats.reused_tokens + 2, longer.size());
  EXPECT_EQ(got.tokens, answer(*fresh, longer).tokens);
}

TEST_F(RecurrentTest, EveryChunkGivesTheSameLogits) {
  LAHAR_NEED_DATA(path, kModel);
  const std::vector<int32_t> sequence = tokens(100);
  std::vector<float> expected;
  for (const uint32_t chunk : {100u, 1u, 7u, 16u, 64u}) {
    const auto engine = open(path, {.context = 128, .chunk = chunk, .all_logits = true});
    ASSERT_TRUE(engine);
    const auto logits = all_logits(*engine, sequence);
    ASSERT_TRUE(logits.ok()) << why(logits);
    if (expected.empty()) expected = *logits;
    EXPECT_LE(normalized_error(*logits, expected), 1e-6) << "chunk " << chunk;
  }
}

TEST_F(RecurrentTest, StatesAreCountedAndCheckpointsGiveWay) {
  LAHAR_NEED_DATA(path, kModel);
  const auto engine = open(path, {.context = 256});
  ASSERT_TRUE(engine);
  EXPECT_EQ(engine->memory().kv_pool, 0u);
  EXPECT_EQ(engine->memory().states, engine->recurrent().bytes());
  EXPECT_NE(engine->memory().describe().find("recurrent states"), std::string::npos);

  MemoryRequest request{.state_bytes = 100, .least_states = 3, .most_states = 20, .context = 512, .available = 300 + 400};
  EXPECT_EQ(plan_memory(request).state_slots, 4u);
  request.available = 1 << 20;
  EXPECT_EQ(plan_memory(request).state_slots, 20u);
  request.available = 299;
  EXPECT_FALSE(plan_memory(request).fits());
}

TEST_F(RecurrentTest, AStateIsSavedAndRestored) {
  LAHAR_NEED_DATA(path, kModel);
  const auto engine = open(path, {.context = 64});
  ASSERT_TRUE(engine);
  StateStorage& storage = engine->recurrent();
  answer(*engine, tokens(20));
  std::vector<std::byte> saved(storage.slot_bytes()), restored(storage.slot_bytes());
  ASSERT_TRUE(storage.read(0, saved).ok());
  EXPECT_NE(saved, restored);  // not zeros
  ASSERT_TRUE(storage.write(1, saved).ok());
  ASSERT_TRUE(storage.read(1, restored).ok());
  EXPECT_EQ(saved, restored);
  EXPECT_FALSE(storage.read(storage.slots(), saved).ok());
  EXPECT_FALSE(storage.read(0, std::span(saved).first(16)).ok());
}

TEST_F(RecurrentTest, ABatchOfSequencesRunsInAStepBench) {
  LAHAR_NEED_DATA(path, kModel);
  const auto engine = open(path, {.context = 96, .slots = 3});
  ASSERT_TRUE(engine);
  StepBench bench(*engine);
  const auto seconds = bench.decode(5, 20, 3);
  ASSERT_TRUE(seconds.ok()) << why(seconds);
  EXPECT_EQ(bench.tokens_read(), 15u);
  std::vector<params::SeqState> states(3);
  ASSERT_TRUE(gpu::download(device(), engine->steps().states(), std::as_writable_bytes(std::span(states))).ok());
  for (const params::SeqState& state : states) EXPECT_EQ(state.last_token, states[0].last_token);
}

}  // namespace
}  // namespace lahar::test
