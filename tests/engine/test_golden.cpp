// Whole models against reference logits at every position and the greedy tokens that follow.
#include <algorithm>
#include <set>

#include "engine/engine_test.h"
#include "engine/golden.h"
#include "ops/kv_type.h"
#include "test_data.h"

namespace lahar::test {
namespace {

constexpr double kF32Error = 1e-6;      // both sides in fp32: rounding alone
constexpr double kDefaultError = 2e-3;  // fp16 operands and cache
constexpr double kBytesError = 5e-3;    // int8 and fp8 in the cache
constexpr double kNibblesError = 3e-2;  // int4

struct Case {
  std::string path;  // in the test data
  std::vector<uint32_t> chunks = {1, 7, 16, 64};
  // Rounding in the cache can turn the choice of an expert: there is no bound for what follows (test_routed_cache.cpp).
  bool routed = false;
  double cache_factor = 1;  // of the bounds for caches in few bits
};

void PrintTo(const Case& c, std::ostream* out) { *out << c.path; }

// What the test data has of the architectures and weight types that are supported.
std::vector<Case> cases() {
  std::vector<Case> all;
  for (const char* name :
       {"falcon-mqa", "gemma2", "gemma3", "granite-hybrid", "mamba2", "gpt2", "llama-gqa", "llama-mha", "llama-mqa-tied",
        "llama-yarn", "llama31-rope", "mistral-swa", "phi3", "qwen2", "qwen3", "qwen3-next", "rwkv4"})
    all.push_back({std::string("golden/hf/") + name});
  for (const char* name : {"gemma3-dense", "gpt2-dense", "llama-dense", "phi3-dense", "qwen3-dense"})
    all.push_back({std::string("golden/gguf/") + name + ".gguf"});
  for (const char* name : {"hf/gpt-oss", "hf/llama4", "hf/mixtral", "hf/qwen2-moe", "hf/qwen3-moe", "gguf/gpt-oss-moe.gguf",
                           "gguf/llama-moe.gguf", "gguf/qwen3moe-moe.gguf"})
    all.push_back({.path = std::string("golden/") + name, .routed = true});
  for (const char* name : {"F16", "BF16", "Q8_0", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q2_K", "Q3_K_S", "Q4_K_S", "Q4_K_M",
                           "Q5_K_S", "Q6_K", "IQ3_S", "IQ4_NL", "IQ4_XS", "MXFP4_MOE", "TQ1_0", "TQ2_0"})
    all.push_back({std::string("golden/quant-gguf/") + name + ".gguf"});
  for (const char* name : {"awq-int4", "fp8-block", "fp8-channel", "gptq-int4", "int8-channel"})
    all.push_back({std::string("golden/quant-hf/") + name});
  for (const char* name : {"llama-gqa", "mistral-swa", "qwen3"})
    all.push_back({std::string("golden/hf-long/") + name, {512}});
  // Several layers read one cache, so that its rounding counts more than once.
  all.push_back({.path = "golden/hf/gemma3n", .cache_factor = 2});
  for (const char* name : {"deepseek-v2", "deepseek-v3"})
    all.push_back({.path = std::string("golden/hf/") + name, .routed = true});
  return all;
}

Golden read_golden(const std::filesystem::path& path) {
  if (std::filesystem::is_directory(path)) return read_hf_golden(path);
  auto logits = path;
  return read_gguf_golden(logits.replace_extension(".logits.bin"));
}

class GoldenTest : public GpuTest, public ::testing::WithParamInterface<Case> {
 protected:
  double error_of(const Golden& golden, const std::filesystem::path& path, const OpenOptions& options) {
    auto opened = open_model(device(), path, options);
    EXPECT_TRUE(opened.ok()) << why(opened);
    if (!opened.ok()) return INFINITY;
    const auto logits = all_logits(*opened->engine, golden.tokens());
    EXPECT_TRUE(logits.ok()) << why(logits);
    return logits.ok() ? normalized_error(*logits, golden.logits) : INFINITY;
  }
};

OpenOptions options_for(const Golden& golden, ops::Precision precision, uint32_t chunk, bool all_logits) {
  OpenOptions options;
  options.engine.context = static_cast<uint32_t>(golden.tokens().size());
  options.engine.precision = precision;
  options.engine.chunk = chunk;
  options.engine.all_logits = all_logits;
  return options;
}

TEST_P(GoldenTest, LogitsAtEveryPosition) {
  LAHAR_NEED_DATA(path, GetParam().path);
  const Golden golden = read_golden(path);
  for (const uint32_t chunk : GetParam().chunks) {
    SCOPED_TRACE("chunk " + std::to_string(chunk));
    EXPECT_LE(error_of(golden, path, options_for(golden, ops::Precision::kF32, chunk, true)), kF32Error);
    EXPECT_LE(error_of(golden, path, options_for(golden, ops::Precision::kDefault, chunk, true)), kDefaultError);
  }
}

TEST_P(GoldenTest, LogitsWithEveryKindOfCache) {
  if (GetParam().routed)
    GTEST_SKIP() << "experts that are chosen otherwise have no bound; RoutedCacheTest looks at what has";
  LAHAR_NEED_DATA(path, GetParam().path);
  const Golden golden = read_golden(path);
  const std::pair<ops::KvType, double> bounds[] = {{ops::KvType::kBF16, kDefaultError},
                                                   {ops::KvType::kI8, kBytesError},
                                                   {ops::KvType::kF8, kBytesError},
                                                   {ops::KvType::kI4, kNibblesError}};
  for (const auto& [type, bound] : bounds) {
    SCOPED_TRACE(to_string(type));
    OpenOptions options = options_for(golden, ops::Precision::kDefault, GetParam().chunks.back(), true);
    options.engine.kv = type;
    EXPECT_LE(error_of(golden, path, options), bound * GetParam().cache_factor);
  }
}

// One by one through the ordinary loop, several steps under way.
TEST_P(GoldenTest, GreedyTokens) {
  LAHAR_NEED_DATA(path, GetParam().path);
  const Golden golden = read_golden(path);
  for (const uint32_t chunk : GetParam().chunks) {
    SCOPED_TRACE("chunk " + std::to_string(chunk));
    auto opened = open_model(device(), path, options_for(golden, ops::Precision::kF32, chunk, false));
    ASSERT_TRUE(opened.ok()) << why(opened);
    const auto outcome = opened->engine->generate({.prompt = golden.prompt,
                                                   .max_tokens = static_cast<uint32_t>(golden.greedy.size()),
                                                   .sampling = {.temperature = 0}});
    ASSERT_TRUE(outcome.ok()) << why(outcome);
    EXPECT_EQ(outcome->tokens, golden.greedy);
  }
}

std::string case_name(const ::testing::TestParamInfo<Case>& info) {
  return test_name(info.param.path.substr(info.param.path.find('/') + 1));
}

INSTANTIATE_TEST_SUITE_P(Models, GoldenTest, ::testing::ValuesIn(cases()), case_name);

}  // namespace
}  // namespace lahar::test
