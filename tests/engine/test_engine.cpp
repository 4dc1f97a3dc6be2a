// The engine's promises: recorded once, several steps under way, the same text from the same seed, a cache that is reused.
#include <nlohmann/json.hpp>
#include <numeric>
#include <optional>
#include <set>
#include <thread>

#include "engine/engine_test.h"
#include "engine/golden.h"
#include "lahar/pumice.h"
#include "test_data.h"
#include "text/chat_format.h"
#include "text/tokenizer.h"

namespace lahar::test {
namespace {

std::unique_ptr<ModelSource> pumice_source() {
  auto source = ModelSource::from_memory(pumice_gguf(), "pumice");
  EXPECT_TRUE(source.ok()) << why(source);
  return source.ok() ? std::move(source).value() : nullptr;
}

class EngineTest : public GpuTest {
 protected:
  std::unique_ptr<Engine> open(const EngineOptions& options) {
    const auto source = pumice_source();
    auto engine = open_engine(device().shared_from_this(), *source, {.engine = options});
    EXPECT_TRUE(engine.ok()) << why(engine);
    return engine.ok() ? std::move(engine).value() : nullptr;
  }
  static std::vector<int32_t> prompt(uint32_t n) {
    std::vector<int32_t> tokens(n);
    for (uint32_t i = 0; i < n; ++i) tokens[i] = static_cast<int32_t>(3 + i * 7 % 1000);
    return tokens;
  }
};

TEST_F(EngineTest, DecodingToTheFullContextRecordsNothingAfterTheFirstStep) {
  const auto engine = open({.context = 512});
  ASSERT_TRUE(engine);
  uint64_t after_first = 0;
  uint32_t tokens = 0;
  const auto outcome =
      engine->generate({.prompt = prompt(8), .sampling = {.temperature = 0}, .on_token = [&](int32_t, const auto&) {
                          if (++tokens == 2) after_first = engine->steps().recorded();
                          return true;
                        }});
  ASSERT_TRUE(outcome.ok()) << why(outcome);
  EXPECT_EQ(outcome->reason, StopReason::kContext);
  EXPECT_EQ(outcome->tokens.size(), 512u - 8 + 1);  // the last one is sampled but has no place in the context
  EXPECT_GT(after_first, 0u);
  // A CPU driver has programs for every 64 tokens of so short a context.
  EXPECT_LE(engine->steps().recorded(), after_first * (device().caps().is_cpu() ? 512 / 64 : 1));
}

TEST_F(EngineTest, AtLeastTwoStepsAreSubmittedWhileTheDeviceIsHeld) {
  const auto engine = open({.context = 64});
  ASSERT_TRUE(engine);
  ASSERT_TRUE(engine->generate({.prompt = prompt(4), .max_tokens = 4, .sampling = {.temperature = 0}}).ok());

  VkSemaphoreTypeCreateInfo type{VK_STRUCTURE_TYPE_SEMAPHORE_TYPE_CREATE_INFO, nullptr, VK_SEMAPHORE_TYPE_TIMELINE, 0};
  const VkSemaphoreCreateInfo info{VK_STRUCTURE_TYPE_SEMAPHORE_CREATE_INFO, &type, 0};
  VkSemaphore gate = VK_NULL_HANDLE;
  const VolkDeviceTable& vk = device().fn();
  ASSERT_EQ(vk.vkCreateSemaphore(device().handle(), &info, nullptr, &gate), VK_SUCCESS);
  engine->steps().set_gate(gpu::TimelineWait{gate, 1});
  StepRunner& steps = engine->steps();
  const uint64_t before = device().submitted();
  const auto decode = [&] {
    return steps.submit(
        {.runs = {{.slot = 0, .first_row = 0, .rows = 1, .sampled = 1}}, .tokens = {-1}, .states = {}, .pages = {}});
  };
  const auto first = decode();
  const auto second = decode();
  ASSERT_TRUE(first.ok() && second.ok());
  EXPECT_GE(device().submitted(), before + 2);
  const auto completed = device().completed();
  ASSERT_TRUE(completed.ok());
  EXPECT_LE(*completed, before);  // neither has run

  const VkSemaphoreSignalInfo open_gate{VK_STRUCTURE_TYPE_SEMAPHORE_SIGNAL_INFO, nullptr, gate, 1};
  ASSERT_EQ(vk.vkSignalSemaphore(device().handle(), &open_gate), VK_SUCCESS);
  EXPECT_TRUE(steps.wait(*first).ok());
  EXPECT_TRUE(steps.wait(*second).ok());
  engine->steps().set_gate(std::nullopt);
  vk.vkDestroySemaphore(device().handle(), gate, nullptr);
}

TEST_F(EngineTest, GenerationKeepsTwoStepsUnderWay) {
  const auto engine = open({.context = 64});
  ASSERT_TRUE(engine);
  // While token n is handed out, the steps that compute tokens n+1 and n+2 have been submitted.
  std::vector<uint64_t> ahead;
  const auto outcome = engine->generate(
      {.prompt = prompt(4), .max_tokens = 20, .sampling = {.temperature = 0}, .on_token = [&](int32_t, const auto&) {
         ahead.push_back(engine->steps().steps_submitted());
         return true;
       }});
  ASSERT_TRUE(outcome.ok()) << why(outcome);
  ASSERT_EQ(ahead.size(), 20u);
  for (uint64_t n = 2; n < 18; ++n) EXPECT_GE(ahead[n], n + 2) << "at token " << n;
}

TEST_F(EngineTest, TheSameSeedGivesTheSameTextAtAnyChunk) {
  std::vector<int32_t> expected;
  for (const uint32_t chunk : {512u, 1u, 7u, 64u}) {
    const auto engine = open({.context = 256, .chunk = chunk, .precision = ops::Precision::kF32});
    ASSERT_TRUE(engine);
    const auto outcome =
        engine->generate({.prompt = prompt(70), .max_tokens = 40, .sampling = {.temperature = 1, .seed = 42}});
    ASSERT_TRUE(outcome.ok()) << why(outcome);
    if (expected.empty()) expected = outcome->tokens;
    EXPECT_EQ(outcome->tokens, expected) << "chunk " << chunk;
  }
  const auto engine = open({.context = 256, .precision = ops::Precision::kF32});
  const auto other = engine->generate({.prompt = prompt(70), .max_tokens = 40, .sampling = {.temperature = 1, .seed = 43}});
  ASSERT_TRUE(other.ok());
  EXPECT_NE(other->tokens, expected);
}

TEST_F(EngineTest, ThePrefixOfThePromptIsReusedAndChangesNothing) {
  const auto fresh = open({.context = 256, .precision = ops::Precision::kF32});
  const auto engine = open({.context = 256, .precision = ops::Precision::kF32});
  ASSERT_TRUE(fresh && engine);
  const auto first = engine->generate({.prompt = prompt(40), .max_tokens = 10, .sampling = {.temperature = 0}});
  ASSERT_TRUE(first.ok());
  std::vector<int32_t> longer = prompt(40);
  longer.insert(longer.end(), first->tokens.begin(), first->tokens.end());
  longer.push_back(77);
  const auto again = engine->generate({.prompt = longer, .max_tokens = 10, .sampling = {.temperature = 0}});
  const auto expected = fresh->generate({.prompt = longer, .max_tokens = 10, .sampling = {.temperature = 0}});
  ASSERT_TRUE(again.ok() && expected.ok());
  EXPECT_GE(again->stats.reused_tokens, 49u);
  EXPECT_EQ(again->tokens, expected->tokens);
  // A prompt that parts ways early.
  std::vector<int32_t> other = prompt(40);
  other[5] = 900;
  const auto parted = engine->generate({.prompt = other, .max_tokens = 10, .sampling = {.temperature = 0}});
  const auto reference = fresh->generate({.prompt = other, .max_tokens = 10, .sampling = {.temperature = 0}});
  ASSERT_TRUE(parted.ok() && reference.ok());
  EXPECT_EQ(parted->stats.reused_tokens, 5u);
  EXPECT_EQ(parted->tokens, reference->tokens);
}

TEST_F(EngineTest, StopsWhereItIsTold) {
  const auto engine = open({.context = 128});
  ASSERT_TRUE(engine);
  const auto free_run = engine->generate({.prompt = prompt(8), .max_tokens = 6, .sampling = {.temperature = 0}});
  ASSERT_TRUE(free_run.ok());
  EXPECT_EQ(free_run->reason, StopReason::kLength);
  ASSERT_EQ(free_run->tokens.size(), 6u);
  const std::vector<int32_t> stop = {free_run->tokens[3]};
  const auto stopped =
      engine->generate({.prompt = prompt(8), .max_tokens = 6, .sampling = {.temperature = 0}, .stop_tokens = stop});
  ASSERT_TRUE(stopped.ok());
  EXPECT_EQ(stopped->reason, StopReason::kStopToken);
  EXPECT_LE(stopped->tokens.size(), 3u);
  const auto cancelled = engine->generate(
      {.prompt = prompt(8), .sampling = {.temperature = 0}, .on_token = [](int32_t, const auto&) { return false; }});
  ASSERT_TRUE(cancelled.ok());
  EXPECT_EQ(cancelled->reason, StopReason::kCancelled);
  EXPECT_EQ(cancelled->tokens.size(), 1u);
  EXPECT_EQ(engine->generate({.prompt = prompt(8), .max_tokens = 0})->tokens.size(), 0u);
}

// The device is held until the flag is set: what was submitted by then is computed and stays in the cache.
TEST_F(EngineTest, APromptIsCancelledBetweenItsChunks) {
  const auto fresh = open({.context = 128, .chunk = 4, .precision = ops::Precision::kF32});
  const auto engine = open({.context = 128, .chunk = 4, .precision = ops::Precision::kF32});
  ASSERT_TRUE(fresh && engine);
  VkSemaphoreTypeCreateInfo type{VK_STRUCTURE_TYPE_SEMAPHORE_TYPE_CREATE_INFO, nullptr, VK_SEMAPHORE_TYPE_TIMELINE, 0};
  const VkSemaphoreCreateInfo info{VK_STRUCTURE_TYPE_SEMAPHORE_CREATE_INFO, &type, 0};
  VkSemaphore gate = VK_NULL_HANDLE;
  const VolkDeviceTable& vk = device().fn();
  ASSERT_EQ(vk.vkCreateSemaphore(device().handle(), &info, nullptr, &gate), VK_SUCCESS);
  engine->steps().set_gate(gpu::TimelineWait{gate, 1});
  const std::vector<int32_t> tokens = prompt(64);
  std::atomic<bool> cancel = false;
  const uint64_t before = device().submitted();
  std::optional<Result<GenerateOutcome>> cancelled;
  std::thread thread([&] { cancelled = engine->generate({.prompt = tokens, .max_tokens = 4, .cancel = &cancel}); });
  while (device().submitted() < before + 2) std::this_thread::yield();
  cancel = true;
  const VkSemaphoreSignalInfo open_gate{VK_STRUCTURE_TYPE_SEMAPHORE_SIGNAL_INFO, nullptr, gate, 1};
  EXPECT_EQ(vk.vkSignalSemaphore(device().handle(), &open_gate), VK_SUCCESS);
  thread.join();
  engine->steps().set_gate(std::nullopt);
  vk.vkDestroySemaphore(device().handle(), gate, nullptr);
  ASSERT_TRUE(cancelled->ok()) << why(*cancelled);
  EXPECT_EQ((*cancelled)->reason, StopReason::kCancelled);
  EXPECT_TRUE((*cancelled)->tokens.empty());
  EXPECT_GE((*cancelled)->stats.prompt_tokens, 8u);
  EXPECT_LE((*cancelled)->stats.prompt_tokens, 16u);

  const auto after = engine->generate({.prompt = tokens, .max_tokens = 10, .sampling = {.temperature = 0}});
  const auto expected = fresh->generate({.prompt = tokens, .max_tokens = 10, .sampling = {.temperature = 0}});
  ASSERT_TRUE(after.ok() && expected.ok());
  EXPECT_EQ(after->stats.reused_tokens, (*cancelled)->stats.prompt_tokens);
  EXPECT_EQ(after->tokens, expected->tokens);
}

TEST_F(EngineTest, BadRequestsAreErrorsAndLeaveTheEngineUsable) {
  const auto engine = open({.context = 32});
  ASSERT_TRUE(engine);
  EXPECT_EQ(engine->generate({.prompt = {}}).error().code, ErrorCode::kInvalidArgument);
  EXPECT_EQ(engine->generate({.prompt = prompt(33)}).error().code, ErrorCode::kLimit);
  const std::vector<int32_t> outside = {5, 1280}, negative = {-1};
  EXPECT_EQ(engine->generate({.prompt = outside}).error().code, ErrorCode::kInvalidArgument);
  EXPECT_EQ(engine->generate({.prompt = negative}).error().code, ErrorCode::kInvalidArgument);
  EXPECT_EQ(engine->generate({.prompt = prompt(3), .sampling = {.temperature = -1}}).error().code,
            ErrorCode::kInvalidArgument);
  const auto full = engine->generate({.prompt = prompt(32), .sampling = {.temperature = 0}});
  ASSERT_TRUE(full.ok()) << why(full);
  EXPECT_EQ(full->tokens.size(), 1u);
  EXPECT_EQ(full->reason, StopReason::kContext);
}

TEST_F(EngineTest, AMemoryCapThatIsTooSmallIsSaidBeforeLoading) {
  const auto source = pumice_source();
  bool loading = false;
  OpenOptions options{.engine = {.memory_cap = 1 << 20}};
  options.load.progress = [&](uint64_t, uint64_t) { return loading = true; };
  const auto engine = open_engine(device().shared_from_this(), *source, options);
  ASSERT_FALSE(engine.ok());
  EXPECT_EQ(engine.error().code, ErrorCode::kOutOfMemory);
  EXPECT_NE(engine.error().message.find("weights"), std::string::npos);
  EXPECT_FALSE(loading);
}

TEST(MemoryPlan, ShortensTheContextOnlyWhereItMayAndMust) {
  const MemoryRequest request{
      .weights = 1000, .page_bytes = 16, .scratch = 100, .context = 8192, .available = 1000 + 100 + 2048};
  const MemoryPlan shortened = plan_memory(request);
  EXPECT_TRUE(shortened.fits());
  EXPECT_EQ(shortened.context, 2048u);
  MemoryRequest fixed = request;
  fixed.context_is_fixed = true;
  EXPECT_FALSE(plan_memory(fixed).fits());
  MemoryRequest roomy = request;
  roomy.available = 1 << 20;
  EXPECT_EQ(plan_memory(roomy).context, 8192u);
  MemoryRequest hopeless = request;
  hopeless.available = 10;
  EXPECT_FALSE(plan_memory(hopeless).fits());
}

// tests/data/pumice/expected.json was made with transformers in fp32, so the fp32 weights are needed for a fair answer;
// the embedded model is Q8_0 and answers the same on these questions.
TEST_F(EngineTest, TheBuiltInModelAnswersAsExpected) {
  const auto expected = nlohmann::json::parse(read_file(source_folder() / "tests/data/pumice/expected.json"));
  const auto source = pumice_source();
  const auto tokenizer = Tokenizer::from_source(*source);
  ASSERT_TRUE(tokenizer.ok()) << why(tokenizer);
  const auto chat = ChatFormat::from_source(*source, **tokenizer);
  ASSERT_TRUE(chat.ok()) << why(chat);
  const auto engine = open({});
  ASSERT_TRUE(engine);
  for (const auto& greedy : expected.at("greedy")) {
    ChatInput input;
    input.messages.push_back({{"role", "user"}, {"content", greedy.at("question")}});
    input.add_generation_prompt = true;
    const auto ids = (*chat)->encode(*(*chat)->render(input));
    ASSERT_TRUE(ids.ok()) << why(ids);
    EXPECT_EQ(*ids, greedy.at("prompt_ids").get<std::vector<int32_t>>());
    const auto outcome =
        engine->generate({.prompt = *ids, .sampling = {.temperature = 0}, .stop_tokens = engine->spec().stop_tokens});
    ASSERT_TRUE(outcome.ok()) << why(outcome);
    const auto text = (*tokenizer)->decode(outcome->tokens);
    ASSERT_TRUE(text.ok());
    if (greedy.at("question") != "Tell me a story about a fox and a lantern.") {
      EXPECT_EQ(*text, greedy.at("answer"));
    } else {
      EXPECT_NE(text->find("fox"), std::string::npos) << *text;
      EXPECT_NE(text->find("lantern"), std::string::npos) << *text;
    }
  }
}

}  // namespace
}  // namespace lahar::test
