// Models whose output is no number: an error that says so, and nothing left behind.
#include <cstring>

#include "engine/engine_test.h"
#include "engine/golden.h"
#include "lahar/pumice.h"
#include "test_data.h"

namespace lahar::test {
namespace {

// A copy of a GGUF in which some bytes of a tensor read as NaN, whatever its type: all ones are one in F32, in F16, and in a
// block's F16 scale.
std::vector<std::byte> damaged(std::span<const std::byte> gguf, const char* tensor, size_t offset, size_t bytes) {
  std::vector<std::byte> copy(gguf.begin(), gguf.end());
  const auto source = ModelSource::from_memory(copy, "damaged");
  EXPECT_TRUE(source.ok()) << why(source);
  const TensorView* found = source.ok() ? (*source)->find_tensor(tensor) : nullptr;
  EXPECT_NE(found, nullptr) << tensor;
  if (found != nullptr) std::memset(copy.data() + (found->data.data() - copy.data()) + offset, 0xff, bytes);
  return copy;
}

class NotANumberTest : public GpuTest {
 protected:
  std::unique_ptr<Engine> open(std::span<const std::byte> gguf) {
    const auto source = ModelSource::from_memory(gguf, "damaged");
    EXPECT_TRUE(source.ok()) << why(source);
    auto engine = open_engine(device().shared_from_this(), **source, {.engine = {.context = 128}});
    EXPECT_TRUE(engine.ok()) << why(engine);
    return engine.ok() ? std::move(engine).value() : nullptr;
  }
  static void expect_error(Engine& engine, std::span<const int32_t> prompt, float temperature) {
    uint32_t tokens = 0;
    const auto outcome = engine.generate({.prompt = prompt,
                                          .max_tokens = 20,
                                          .sampling = {.temperature = temperature},
                                          .on_token = [&](int32_t, const auto&) { return ++tokens < 100; }});
    ASSERT_FALSE(outcome.ok());
    EXPECT_EQ(outcome.error().code, ErrorCode::kFormat);
    EXPECT_NE(outcome.error().message.find("not a number (NaN)"), std::string::npos) << outcome.error().message;
    EXPECT_EQ(tokens, 0u);
  }
};

TEST_F(NotANumberTest, ANormsWeight) {
  const auto engine = open(damaged(pumice_gguf(), "output_norm.weight", 8, 4));
  ASSERT_TRUE(engine);
  const std::vector<int32_t> prompt{5, 6, 7};
  for (const float temperature : {0.0f, 0.8f}) expect_error(*engine, prompt, temperature);
}

// One token's row in the embedding: requests without it are as ever, before and after.
TEST_F(NotANumberTest, OneTokensRow) {
  LAHAR_NEED_DATA(path, "golden/gguf/llama-moe.gguf");
  const std::string file = read_file(path);
  const auto gguf = std::as_bytes(std::span(file));
  const auto whole = open(gguf);
  ASSERT_TRUE(whole);
  ASSERT_FALSE(whole->spec().tied_head);
  const auto engine = open(damaged(gguf, "token_embd.weight", size_t{9} * whole->spec().hidden * sizeof(float), 4));
  ASSERT_TRUE(engine);
  const std::vector<int32_t> good{5, 6, 7, 8}, bad{5, 6, 9, 8};
  for (int round = 0; round < 2; ++round) {
    const auto expected = whole->generate({.prompt = good, .max_tokens = 3, .sampling = {.temperature = 0}});
    const auto got = engine->generate({.prompt = good, .max_tokens = 3, .sampling = {.temperature = 0}});
    ASSERT_TRUE(expected.ok() && got.ok()) << why(got);
    EXPECT_EQ(got->tokens, expected->tokens);
    expect_error(*engine, bad, 0);
  }
}

TEST_F(NotANumberTest, ARoutersWeight) {
  LAHAR_NEED_DATA(path, "golden/gguf/llama-moe.gguf");
  const std::string file = read_file(path);
  const auto engine = open(damaged(std::as_bytes(std::span(file)), "blk.1.ffn_gate_inp.weight", 0, 4));
  ASSERT_TRUE(engine);
  const std::vector<int32_t> prompt{5, 6, 7, 8, 9};
  expect_error(*engine, prompt, 0);
}

}  // namespace
}  // namespace lahar::test
