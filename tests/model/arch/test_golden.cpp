// The reference forward pass, fed by spec and plan, against the golden logits: what the engine computes on the GPU is the
// same spec and plan.
#include <gtest/gtest.h>

#include <cstring>
#include <fstream>
#include <nlohmann/json.hpp>

#include "reference_model.h"
#include "test_data.h"

namespace lahar {

namespace {

struct Golden {
  std::vector<int32_t> tokens;
  std::vector<float> logits;  // [tokens, vocabulary]
};

std::vector<char> read_all(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

// logits.npy beside expected.json.
Golden read_folder(const std::filesystem::path& folder) {
  Golden golden;
  const auto expected = nlohmann::json::parse(std::ifstream(folder / "expected.json"));
  for (const char* part : {"prompt", "greedy"})
    for (const auto& token : expected[part]) golden.tokens.push_back(token.get<int32_t>());
  const auto bytes = read_all(folder / "logits.npy");
  uint16_t header = 0;
  std::memcpy(&header, bytes.data() + 8, 2);
  golden.logits.resize((bytes.size() - 10 - header) / sizeof(float));
  std::memcpy(golden.logits.data(), bytes.data() + 10 + header, golden.logits.size() * sizeof(float));
  return golden;
}

// int32 n_prompt, n_greedy, n_vocab; tokens; logits.
Golden read_bin(const std::filesystem::path& path) {
  Golden golden;
  const auto bytes = read_all(path);
  int32_t sizes[3];
  std::memcpy(sizes, bytes.data(), sizeof sizes);
  golden.tokens.resize(sizes[0] + sizes[1]);
  golden.logits.resize(golden.tokens.size() * sizes[2]);
  std::memcpy(golden.tokens.data(), bytes.data() + 12, golden.tokens.size() * 4);
  std::memcpy(golden.logits.data(), bytes.data() + 12 + golden.tokens.size() * 4,
              std::min(golden.logits.size() * 4, bytes.size() - 12 - golden.tokens.size() * 4));
  return golden;
}

void check(const std::filesystem::path& model, Golden golden, double bound, size_t most_tokens = 64) {
  auto source = ModelSource::open(model);
  ASSERT_TRUE(source.ok()) << source.error().message;
  auto spec = read_model_spec(**source, static_cast<uint32_t>(golden.tokens.size()));
  ASSERT_TRUE(spec.ok()) << spec.error().message;
  auto plan = WeightPlan::make(**source, *spec);
  ASSERT_TRUE(plan.ok()) << plan.error().message;
  golden.tokens.resize(std::min(golden.tokens.size(), most_tokens));
  golden.logits.resize(golden.tokens.size() * spec->vocabulary);
  auto logits = test::reference_logits(**source, *spec, *plan, golden.tokens);
  ASSERT_TRUE(logits.ok()) << logits.error().message;
  const double error = test::nmse(*logits, golden.logits);
  EXPECT_LT(error, bound) << model;
  std::printf("%s: nmse %.3g\n", model.filename().c_str(), error);
}

class Hf : public testing::TestWithParam<const char*> {};
TEST_P(Hf, LogitsMatch) {
  LAHAR_NEED_DATA(folder, std::filesystem::path("golden") / GetParam());
  check(folder, read_folder(folder), 1e-9);
}
INSTANTIATE_TEST_SUITE_P(Golden, Hf,
                         testing::Values("hf/falcon-mqa", "hf/gemma2", "hf/gemma3", "hf/gemma3n", "hf/gpt-oss", "hf/gpt2",
                                         "hf/llama4", "hf/mixtral", "hf/qwen2-moe", "hf/qwen3-moe", "hf/llama-gqa",
                                         "hf/llama-mha", "hf/llama-mqa-tied", "hf/llama-yarn", "hf/llama31-rope",
                                         "hf/mistral-swa", "hf/phi3", "hf/qwen2", "hf/qwen3", "hf-long/llama-gqa",
                                         "hf-long/mistral-swa", "hf-long/qwen3", "quant-hf/fp8-block",
                                         "quant-hf/fp8-channel", "quant-hf/int8-channel", "quant-hf/awq-int4",
                                         "quant-hf/gptq-int4"));

class Gguf : public testing::TestWithParam<const char*> {};
TEST_P(Gguf, LogitsMatch) {
  const std::string name = std::string("golden/") + GetParam();
  LAHAR_NEED_DATA(file, name + ".gguf");
  auto logits = file;
  logits.replace_extension(".logits.bin");
  check(file, read_bin(logits), 1e-6);
}
INSTANTIATE_TEST_SUITE_P(Golden, Gguf,
                         testing::Values("gguf/gpt-oss-moe", "gguf/llama-moe", "gguf/qwen3moe-moe", "gguf/gemma3-dense",
                                         "gguf/gpt2-dense", "gguf/llama-dense", "gguf/phi3-dense", "gguf/qwen3-dense",
                                         "quant-gguf/F16", "quant-gguf/BF16", "quant-gguf/Q8_0", "quant-gguf/Q4_0",
                                         "quant-gguf/Q4_1", "quant-gguf/Q4_K_S", "quant-gguf/Q4_K_M", "quant-gguf/Q6_K",
                                         "quant-gguf/Q5_0", "quant-gguf/Q5_1", "quant-gguf/Q2_K", "quant-gguf/Q3_K_S",
                                         "quant-gguf/Q5_K_S", "quant-gguf/IQ3_S", "quant-gguf/IQ4_NL", "quant-gguf/IQ4_XS",
                                         "quant-gguf/MXFP4_MOE", "quant-gguf/TQ1_0", "quant-gguf/TQ2_0"));

}  // namespace

}  // namespace lahar
