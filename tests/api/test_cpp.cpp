// The C++ wrapper.
#include <thread>

#include "api/api_test.h"
#include "lahar/lahar.hpp"
#include "lahar/pumice.h"

namespace {

using lahar::test::expected;

lahar::EngineOptions small() {
  lahar::EngineOptions options;
  options.context = 512;
  if (const char* device = lahar::test::engine_options().device) options.device = device;
  return options;
}

lahar::GenerateOptions greedy() {
  lahar::GenerateOptions options;
  options.sampling = lahar::Sampling{};
  return options;
}

std::vector<lahar::Message> question(const std::string& text) { return {{"user", text}}; }

class CppTest : public ::testing::Test {
 protected:
  CppTest()
      : runtime([this](lahar::LogLevel level, std::string_view text) {
          lahar::test::LogKeeper::write(&log, static_cast<lahar_log_level>(level), std::string(text).c_str());
        }),
        model(lahar::Model::from_memory(runtime, lahar::pumice_gguf())) {}
  void TearDown() override { EXPECT_EQ(log.errors(), ""); }

  lahar::test::LogKeeper log;
  lahar::Runtime runtime;
  lahar::Model model;
};

TEST_F(CppTest, DevicesAndPlan) {
  const std::vector<lahar::Device> devices = runtime.devices();
  ASSERT_FALSE(devices.empty());
  EXPECT_FALSE(devices[0].name.empty());
  const lahar::MemoryPlan plan = model.plan(small());
  EXPECT_TRUE(plan.fits);
  EXPECT_EQ(plan.context, 512u);
  EXPECT_EQ(lahar::version(), lahar_version());
}

TEST_F(CppTest, TextAndTokens) {
  const std::string text = "Führer 🦙 \"日本語\" \\ \n\t" + std::string(1, '\0') + "\x01";
  EXPECT_EQ(model.detokenize(model.tokenize(text)), text);
  EXPECT_TRUE(model.tokenize("").empty());
  EXPECT_EQ(model.detokenize({}), "");
  const std::string long_text(5000, 'a');
  EXPECT_EQ(model.detokenize(model.tokenize(long_text)), long_text);

  const std::string said = "line\nwith \"quotes\" \\ and \x01";
  const std::vector<lahar::Message> messages = question(said);
  EXPECT_NE(model.apply_template(lahar::chat_json(messages)).find(said), std::string::npos);
  EXPECT_FALSE(model.tokenize_chat(lahar::chat_json(messages)).empty());
}

TEST_F(CppTest, ErrorsAreExceptions) {
  try {
    lahar::Model::open(runtime, "/nowhere/at-all.gguf");
    FAIL() << "nothing was thrown";
  } catch (const lahar::Error& error) {
    EXPECT_EQ(error.status(), LAHAR_NOT_FOUND);
    EXPECT_NE(std::string(error.what()).find("/nowhere/at-all.gguf"), std::string::npos) << error.what();
  }
  EXPECT_THROW(model.apply_template("{"), lahar::Error);
  const std::vector<int32_t> foreign = {1 << 30};
  EXPECT_THROW(model.detokenize(foreign), lahar::Error);
}

TEST_F(CppTest, Chat) {
  uint64_t loaded = 0;
  lahar::EngineOptions options = small();
  options.progress = [&](uint64_t done, uint64_t) {
    loaded = done;
    return true;
  };
  lahar::Engine engine(model, options);
  EXPECT_GT(loaded, 0u);
  EXPECT_EQ(engine.context(), 512u);
  EXPECT_GT(engine.default_sampling().top_p, 0);
  for (const auto& row : expected()["greedy"]) {
    std::string streamed;
    lahar::GenerateOptions ask = greedy();
    ask.on_token = [&](const lahar::Token& token) {
      streamed += token.text;
      return true;
    };
    const lahar::Reply reply = engine.chat(question(row["question"]), ask);
    // That of the story is another one with Q8_0 weights.
    if (row != expected()["greedy"][0]) { EXPECT_EQ(reply.text, row["answer"].get<std::string>()); }
    EXPECT_EQ(streamed, reply.text);
    EXPECT_EQ(reply.reason, LAHAR_STOP_TOKEN);
    EXPECT_EQ(reply.generated_tokens, reply.tokens.size() + 1);
  }
  const lahar::Engine moved = std::move(engine);
  lahar::GenerateOptions few = greedy();
  few.max_tokens = 4;
  EXPECT_EQ(moved.complete("Once upon a time", few).tokens, moved.complete(model.tokenize("Once upon a time"), few).tokens);
  EXPECT_THROW(moved.complete(std::span<const int32_t>(), few), lahar::Error);
}

TEST_F(CppTest, ASequenceIsSavedAndRestored) {
  const lahar::Engine engine(model, small()), other(model, small());
  const lahar::Reply first = engine.chat(question("What is 7 + 8?"), greedy());
  std::vector<std::byte> saved = engine.save_sequence();
  other.restore_sequence(saved);
  const lahar::Reply again = other.chat(question("What is 7 + 8?"), greedy());
  EXPECT_EQ(again.text, first.text);
  EXPECT_EQ(again.prompt_tokens, 1u);
  saved.pop_back();
  try {
    other.restore_sequence(saved);
    FAIL() << "nothing was thrown";
  } catch (const lahar::Error& error) { EXPECT_EQ(error.status(), LAHAR_FORMAT); }
}

TEST_F(CppTest, ExceptionsOfCallbacksComeBack) {
  lahar::EngineOptions options = small();
  options.progress = [](uint64_t, uint64_t) -> bool { throw std::string("progress"); };
  EXPECT_THROW(lahar::Engine(model, options), std::string);
  options.progress = [](uint64_t, uint64_t) { return false; };
  try {
    lahar::Engine(model, options);
    FAIL() << "nothing was thrown";
  } catch (const lahar::Error& error) { EXPECT_EQ(error.status(), LAHAR_CANCELLED); }

  const lahar::Engine engine(model, small());
  lahar::GenerateOptions ask = greedy();
  int calls = 0;
  ask.on_token = [&](const lahar::Token&) -> bool {
    ++calls;
    throw std::string("token");
  };
  EXPECT_THROW(engine.chat(question("Hi"), ask), std::string);
  EXPECT_EQ(calls, 1);
  EXPECT_EQ(engine.chat(question("What is 7 + 8?"), greedy()).text, "7 + 8 = 15.");
}

TEST_F(CppTest, DestroyedInsideItsCallback) {
  auto engine = std::make_unique<lahar::Engine>(model, small());
  lahar::GenerateOptions ask = greedy();
  ask.on_token = [&](const lahar::Token&) {
    engine.reset();
    return true;
  };
  try {
    engine->chat(question("Hi"), ask);
    FAIL() << "nothing was thrown";
  } catch (const lahar::Error& error) { EXPECT_EQ(error.status(), LAHAR_CANCELLED); }
}

}  // namespace
