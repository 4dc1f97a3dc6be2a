// A sequence that is saved and restored goes on as if nothing had happened; what is no saved sequence changes nothing.
#include <cstddef>
#include <cstring>
#include <random>

#include "engine/engine_test.h"
#include "engine/saved_sequence.h"
#include "lahar/pumice.h"
#include "ops/kv_type.h"
#include "test_data.h"

namespace lahar::test {
namespace {

constexpr const char* kPumice = "";  // instead of a path in the test data
constexpr const char* kRecurrent = "golden/hf/mamba2";
using Bytes = std::vector<std::byte>;

struct Answer {
  std::vector<int32_t> tokens;
  std::vector<float> logits;  // that the tokens were sampled from
  GenerateStats stats;
};

class SaveTest : public GpuTest {
 protected:
  std::unique_ptr<Engine> open(const std::string& path, EngineOptions options) {
    options.sampled_logits = true;
    auto source = path.empty() ? ModelSource::from_memory(pumice_gguf(), "pumice") : ModelSource::open(data_folder() / path);
    EXPECT_TRUE(source.ok()) << why(source);
    if (!source.ok()) return nullptr;
    auto engine = open_engine(device().shared_from_this(), **source, {.engine = options});
    EXPECT_TRUE(engine.ok()) << why(engine);
    return engine.ok() ? std::move(engine).value() : nullptr;
  }
  static std::vector<int32_t> tokens(uint32_t n, uint32_t seed = 1) {
    std::vector<int32_t> all(n);
    for (uint32_t i = 0; i < n; ++i) all[i] = static_cast<int32_t>((3 + i * 7 + i * i * seed) % 250);
    return all;
  }
  static Answer answer(Engine& engine, const std::vector<int32_t>& prompt, uint32_t most = 8) {
    Answer answer;
    const auto outcome = engine.generate(
        {.prompt = prompt, .max_tokens = most, .sampling = {.temperature = 0}, .on_logits = [&](std::span<const float> row) {
           answer.logits.insert(answer.logits.end(), row.begin(), row.end());
         }});
    EXPECT_TRUE(outcome.ok()) << why(outcome);
    if (outcome.ok()) answer.tokens = outcome->tokens, answer.stats = outcome->stats;
    return answer;
  }
  static Bytes save(const Engine& engine) {
    const auto size = engine.sequence_bytes();
    EXPECT_TRUE(size.ok()) << why(size);
    Bytes bytes(size.ok() ? *size : 0);
    const Status saved = engine.save_sequence(bytes);
    EXPECT_TRUE(saved.ok()) << why(saved);
    return bytes;
  }
  static void restore(Engine& engine, const Bytes& bytes) {
    const Status restored = engine.restore_sequence(bytes);
    EXPECT_TRUE(restored.ok()) << why(restored);
  }
  // Both say the same, bit by bit, and read as much of the prompt anew. Returns how many tokens of it were not.
  static uint32_t expect_alike(Engine& engine, Engine& other, const std::vector<int32_t>& prompt) {
    const Answer expected = answer(engine, prompt), got = answer(other, prompt);
    EXPECT_EQ(got.tokens, expected.tokens);
    EXPECT_EQ(got.stats.reused_tokens, expected.stats.reused_tokens);
    EXPECT_FALSE(expected.logits.empty());
    EXPECT_TRUE(got.logits == expected.logits);
    return got.stats.reused_tokens;
  }
  static ErrorCode refusal(Engine& engine, std::span<const std::byte> bytes) {
    const Status restored = engine.restore_sequence(bytes);
    EXPECT_FALSE(restored.ok());
    return restored.ok() ? ErrorCode::kInternal : restored.error().code;
  }
};

struct Case {
  std::string path;
  std::optional<ops::KvType> kv;
};

void PrintTo(const Case& c, std::ostream* out) { *out << c.path; }

class SaveModelTest : public SaveTest, public ::testing::WithParamInterface<Case> {};

TEST_P(SaveModelTest, AFreshEngineGoesOnAsIfNotInterrupted) {
  if (!GetParam().path.empty()) { LAHAR_NEED_DATA(path, GetParam().path); }
  const EngineOptions options{.context = 128, .chunk = 16, .kv = GetParam().kv, .checkpoint_tokens = 16};
  const auto engine = open(GetParam().path, options), fresh = open(GetParam().path, options);
  ASSERT_TRUE(engine && fresh);
  std::vector<int32_t> sequence = tokens(45);
  const Answer first = answer(*engine, sequence);
  ASSERT_FALSE(first.tokens.empty());
  restore(*fresh, save(*engine));

  sequence.insert(sequence.end(), first.tokens.begin(), first.tokens.end());
  for (const int32_t token : tokens(7, 2)) sequence.push_back(token);
  EXPECT_GE(expect_alike(*engine, *fresh, sequence), 45u) << "the prompt was read again";
  // Back to a checkpoint within what was saved.
  sequence.resize(60);
  sequence[40] = 200;
  EXPECT_GE(expect_alike(*engine, *fresh, sequence), 32u);
}

INSTANTIATE_TEST_SUITE_P(Models, SaveModelTest,
                         ::testing::Values(Case{kPumice, {}}, Case{kPumice, ops::KvType::kI8}, Case{"golden/hf/mamba2", {}},
                                           Case{"golden/hf/granite-hybrid", {}}, Case{"golden/hf/qwen3-next", {}},
                                           Case{"golden/hf/rwkv4", {}}, Case{"golden/hf/deepseek-v3", {}},
                                           Case{"golden/hf/mistral-swa", {}}, Case{"golden/hf/gemma3n", {}}),
                         [](const auto& test) {
                           const Case& c = test.param;
                           return test_name((c.path.empty() ? "pumice" : c.path) +
                                            (c.kv ? "_" + std::string(ops::to_string(*c.kv)) : ""));
                         });

TEST_F(SaveTest, ARestoredSequenceTakesThePlaceOfAnother) {
  const auto engine = open(kPumice, {.context = 256}), other = open(kPumice, {.context = 128});
  ASSERT_TRUE(engine && other);
  answer(*engine, tokens(20));
  answer(*other, tokens(90, 3), 30);
  restore(*other, save(*engine));
  EXPECT_EQ(other->kv_view().tokens, engine->kv_view().tokens);
  EXPECT_GE(expect_alike(*engine, *other, tokens(30)), 20u);
}

TEST_F(SaveTest, AnEmptyCacheIsRestoredToo) {
  const auto empty = open(kPumice, {.context = 64}), full = open(kPumice, {.context = 64});
  ASSERT_TRUE(empty && full);
  answer(*full, tokens(20));
  restore(*full, save(*empty));
  EXPECT_EQ(answer(*full, tokens(20)).stats.reused_tokens, 0u);
}

// Of more states than there are slots for, the newest is there.
TEST_F(SaveTest, AnEngineWithFewerStateSlotsGoesOn) {
  LAHAR_NEED_DATA(path, kRecurrent);
  const auto engine = open(kRecurrent, {.context = 256, .chunk = 16, .checkpoint_tokens = 16});
  const auto fewer = open(kRecurrent, {.context = 256, .chunk = 16, .checkpoint_tokens = 0});
  ASSERT_TRUE(engine && fewer);
  const std::vector<int32_t> sequence = tokens(230);
  answer(*engine, sequence, 1);
  const Bytes saved = save(*engine);
  ASSERT_GT(saved.size() / engine->recurrent().slot_bytes(), fewer->recurrent().slots());
  restore(*fewer, saved);
  EXPECT_EQ(answer(*fewer, tokens(240)).stats.reused_tokens, 230u);
}

// A cache that has rolled has its pages in another order than the pool.
TEST_F(SaveTest, PagesInAnyOrderAreSavedAndRestored) {
  const EngineOptions options{.chunk = 16, .streaming = {4, 128}};
  const auto engine = open(kPumice, options), plain = open(kPumice, {.context = 256, .chunk = 16});
  ASSERT_TRUE(engine && plain);
  answer(*engine, tokens(20), 2 * engine->context());
  const auto rolled = engine->sequence_bytes();
  ASSERT_FALSE(rolled.ok());
  EXPECT_EQ(rolled.error().code, ErrorCode::kUnsupported);

  answer(*engine, tokens(120, 2));
  const Bytes saved = save(*engine);
  restore(*plain, saved);
  const auto streaming = open(kPumice, options);
  ASSERT_TRUE(streaming);
  answer(*streaming, tokens(20), 2 * engine->context());
  restore(*streaming, save(*plain));
  EXPECT_EQ(save(*streaming), saved);
  EXPECT_GE(expect_alike(*engine, *plain, tokens(130, 2)), 120u);
  restore(*engine, saved);
  EXPECT_GE(expect_alike(*engine, *streaming, tokens(130, 2)), 120u);
  answer(*streaming, tokens(130, 2), 2 * engine->context());  // it rolls on
}

TEST_F(SaveTest, WhatDoesNotFitIsRefusedAndChangesNothing) {
  LAHAR_NEED_DATA(path, "golden/hf/llama-gqa");
  const auto engine = open(kPumice, {.context = 128});
  ASSERT_TRUE(engine);
  answer(*engine, tokens(60));
  const Bytes saved = save(*engine);
  const auto expect_refused = [&](const std::string& model, const EngineOptions& options, ErrorCode code,
                                  const std::string& text) {
    const auto other = open(model, options);
    ASSERT_TRUE(other);
    answer(*other, tokens(20));
    const Status restored = other->restore_sequence(saved);
    ASSERT_FALSE(restored.ok()) << text;
    EXPECT_EQ(restored.error().code, code) << restored.error().message;
    EXPECT_NE(restored.error().message.find(text), std::string::npos) << restored.error().message;
    EXPECT_GE(answer(*other, tokens(30)).stats.reused_tokens, 20u) << text;
  };
  expect_refused("golden/hf/llama-gqa", {.context = 128}, ErrorCode::kInvalidArgument, "layers");
  expect_refused(kPumice, {.context = 128, .kv = ops::KvType::kI8}, ErrorCode::kInvalidArgument, "KV cache int8");
  expect_refused(kPumice, {.context = 128, .rope = {.factor = 2}}, ErrorCode::kInvalidArgument, "RoPE");
  expect_refused(kPumice, {.context = 48}, ErrorCode::kLimit, "context of 48");
}

TEST_F(SaveTest, NoTruncationIsTaken) {
  const auto engine = open(kPumice, {.context = 64});
  ASSERT_TRUE(engine);
  answer(*engine, tokens(5), 2);
  const Bytes saved = save(*engine);
  for (size_t n = 0; n < saved.size(); ++n) {
    const Bytes part(saved.begin(), saved.begin() + static_cast<std::ptrdiff_t>(n));
    EXPECT_EQ(refusal(*engine, part), ErrorCode::kFormat) << n << " of " << saved.size() << " bytes";
  }
  Bytes more = saved;
  more.push_back(std::byte{0});
  EXPECT_EQ(refusal(*engine, more), ErrorCode::kFormat);
  EXPECT_GE(answer(*engine, tokens(9)).stats.reused_tokens, 5u);
}

// Changes a saved sequence at a byte, and makes its checksum right again.
template <typename T>
Bytes with(Bytes saved, size_t at, T value) {
  std::memcpy(saved.data() + at, &value, sizeof(value));
  seal_saved(saved);
  return saved;
}

TEST_F(SaveTest, NoLieIsTaken) {
  LAHAR_NEED_DATA(path, kRecurrent);
  for (const char* model : {kPumice, kRecurrent}) {
    const auto engine = open(model, {.context = 64});
    ASSERT_TRUE(engine);
    answer(*engine, tokens(20), 2);
    const Bytes saved = save(*engine);
    SavedHeader header;
    std::memcpy(&header, saved.data(), sizeof(header));
    const size_t text = sizeof(header), first_token = text + header.model_bytes,
                 first_state = first_token + header.tokens * sizeof(int32_t);
    EXPECT_EQ(refusal(*engine, with(saved, offsetof(SavedHeader, magic), 'l')), ErrorCode::kFormat);
    EXPECT_EQ(refusal(*engine, with(saved, offsetof(SavedHeader, version), 2u)), ErrorCode::kUnsupported);
    EXPECT_EQ(refusal(*engine, with(saved, offsetof(SavedHeader, details), ~header.details)), ErrorCode::kInvalidArgument);
    EXPECT_EQ(refusal(*engine, with(saved, text, '?')), ErrorCode::kInvalidArgument);
    for (const size_t field : {offsetof(SavedHeader, tokens), offsetof(SavedHeader, states)}) {
      uint32_t value = 0;
      std::memcpy(&value, saved.data() + field, sizeof(value));
      for (const uint32_t lie : {value + 1, value - 1, 0u, 0x7fffffffu, 0xffffffffu})
        if (lie != value) { EXPECT_EQ(refusal(*engine, with(saved, field, lie)), ErrorCode::kFormat) << lie; }
    }
    for (const uint32_t lie : {0x7fffffffu, 0xffffffffu})
      EXPECT_EQ(refusal(*engine, with(saved, offsetof(SavedHeader, model_bytes), lie)), ErrorCode::kFormat);
    for (const int32_t lie : {-1, static_cast<int32_t>(engine->spec().vocabulary), INT32_MIN})
      EXPECT_EQ(refusal(*engine, with(saved, first_token + 4, lie)), ErrorCode::kFormat) << lie;
    if (header.states > 0) {
      for (const uint32_t lie : {0u, header.tokens + 1, 0xffffffffu})
        EXPECT_EQ(refusal(*engine, with(saved, first_state + (header.states - 1) * sizeof(SavedState), lie)),
                  ErrorCode::kFormat)
            << lie;
      EXPECT_EQ(refusal(*engine, with(saved, first_state + 4, 2u)), ErrorCode::kFormat);
    }
    // A bit that has turned over, without a new checksum.
    Bytes turned = saved;
    turned[turned.size() - 100] ^= std::byte{1};
    EXPECT_EQ(refusal(*engine, turned), ErrorCode::kFormat);
    EXPECT_GE(answer(*engine, tokens(30)).stats.reused_tokens, 20u) << model;
    restore(*engine, saved);
  }
}

TEST_F(SaveTest, RandomDamageDoesNoHarm) {
  LAHAR_NEED_DATA(path, kRecurrent);
  const auto engine = open(kRecurrent, {.context = 64, .chunk = 8, .checkpoint_tokens = 8});
  ASSERT_TRUE(engine);
  answer(*engine, tokens(20), 2);
  const Bytes saved = save(*engine);
  std::mt19937 random(7);
  const auto below = [&](size_t n) { return std::uniform_int_distribution<size_t>(0, n - 1)(random); };
  uint32_t taken = 0;
  for (int i = 0; i < 400; ++i) {
    Bytes damaged = saved;
    for (size_t n = 1 + below(3); n > 0; --n) damaged[below(i % 2 == 0 ? 320 : saved.size())] = std::byte(below(256));
    seal_saved(damaged);
    if (engine->restore_sequence(damaged).ok()) ++taken;
  }
  EXPECT_GT(taken, 0u);  // tokens, or what layers keep, may be any
  restore(*engine, saved);
  EXPECT_GE(answer(*engine, tokens(30)).stats.reused_tokens, 20u);
}

TEST_F(SaveTest, PagesThatAreNotThereAreRefused) {
  const auto engine = open(kPumice, {.context = 64});
  ASSERT_TRUE(engine);
  const uint64_t page_bytes = engine->kv().layout().page_bytes;
  Bytes bytes(page_bytes);
  const uint32_t beyond[] = {engine->kv().pages()}, first[] = {0};
  EXPECT_FALSE(engine->kv().read(beyond, bytes).ok());
  EXPECT_FALSE(engine->kv().read(first, std::span(bytes).first(page_bytes - 1)).ok());
  EXPECT_TRUE(engine->kv().read(first, bytes).ok());
}

}  // namespace
}  // namespace lahar::test
