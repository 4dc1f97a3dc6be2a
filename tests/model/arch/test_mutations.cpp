// Configurations with one value replaced by nonsense: an error or a success, never a crash or an allocation that the value
// decides. Meant to run under the sanitizers too.
#include <gtest/gtest.h>

#include <cstring>
#include <fstream>

#include "test_data.h"
#include "tiny_model.h"
#include "weights.h"

namespace lahar {

namespace {

using nlohmann::json;

// What a value becomes.
std::vector<json> nonsense(const json& value) {
  std::vector<json> all = {nullptr,
                           "x",
                           json::array(),
                           json::object(),
                           json::array({1, 2}),
                           true,
                           0,
                           -1,
                           1,
                           3,
                           4294967295,
                           9223372036854775807,
                           1e300,
                           1e-300,
                           0.5,
                           -0.25};
  if (value.is_number_integer()) all.push_back(value.get<int64_t>() * 2);
  if (value.is_number_integer()) all.push_back(value.get<int64_t>() + 1);
  return all;
}

// One line, and a spec that can be planned or not; what counts is that we return.
bool try_folder(const std::filesystem::path& folder) {
  auto source = ModelSource::open(folder);
  if (!source.ok()) return false;
  const auto spec = read_model_spec(**source);
  if (!spec.ok()) {
    EXPECT_EQ(spec.error().message.find('\n'), std::string::npos);
    return false;
  }
  EXPECT_LE(spec->layers.size(), (*source)->tensors().size());
  for (const RopeSpec& rope : spec->ropes) EXPECT_EQ(rope.inverse_frequencies.size(), rope.dims / 2);
  return WeightPlan::make(**source, *spec).ok();
}

TEST(Mutations, EveryValueOfEveryConfig) {
  LAHAR_NEED_DATA(golden, "golden");
  test::TemporaryFolder temporary;
  size_t tried = 0, accepted = 0;
  for (const char* name : {"hf/falcon-mqa", "hf/gemma2", "hf/gemma3", "hf/gpt2", "hf/llama-yarn", "hf/llama31-rope",
                           "hf/mistral-swa", "hf/phi3", "hf/qwen2", "hf/qwen3", "quant-hf/awq-int4", "quant-hf/gptq-int4",
                           "hf/mixtral", "hf/qwen2-moe", "hf/qwen3-moe", "hf/gpt-oss", "hf/llama4"}) {
    const auto folder = temporary.path() / name;
    std::filesystem::create_directories(folder);
    std::filesystem::create_symlink(golden / name / "model.safetensors", folder / "model.safetensors");
    const json config = json::parse(std::ifstream(golden / name / "config.json"));
    const auto attempt = [&](const json& changed) {
      std::ofstream(folder / "config.json") << changed.dump();
      ++tried;
      accepted += try_folder(folder);
    };
    attempt(config);
    ASSERT_EQ(accepted, 1u) << name;
    for (const auto& [key, value] : config.items()) {
      json changed = config;
      changed.erase(key);
      attempt(changed);
      for (const json& other : nonsense(value)) {
        changed = config;
        changed[key] = other;
        attempt(changed);
        if (!value.is_object()) continue;
        for (const auto& inner : value.items()) {
          changed = config;
          changed[key][inner.key()] = other;
          attempt(changed);
        }
      }
    }
    accepted = 0;
  }
  EXPECT_GT(tried, 4000u);
}

// Each number of the metadata becomes 0, all ones, a large power of two, or another small number.
TEST(Mutations, EveryNumberOfGgufMetadata) {
  test::TinyLlama model;
  model.metadata.add("llama.attention.key_length", uint32_t{16});
  model.metadata.add("llama.attention.value_length", uint32_t{16});
  model.metadata.add("llama.rope.dimension_count", uint32_t{16});
  model.metadata.add("llama.rope.freq_base", 10000.0f);
  model.metadata.add("llama.rope.scaling.type", "yarn");
  model.metadata.add("llama.rope.scaling.factor", 4.0f);
  model.metadata.add("llama.rope.scaling.original_context_length", uint32_t{32});
  model.metadata.add("llama.attention.sliding_window", uint32_t{16});
  model.metadata.add("general.sampling.temp", 0.5f);
  model.metadata.add("tokenizer.ggml.eos_token_id", uint32_t{2});
  const std::vector<std::byte> good = model.bytes();
  auto source = ModelSource::from_memory(good, "tiny.gguf");
  ASSERT_TRUE(source.ok());
  ASSERT_TRUE(read_model_spec(**source).ok());
  size_t tried = 0, refused = 0;
  for (const GgufEntry& entry : (*source)->gguf()->metadata().entries()) {
    if (entry.type != GgufType::kU32 && entry.type != GgufType::kF32) continue;
    // The value follows its key and its type.
    const size_t at = reinterpret_cast<const std::byte*>(entry.key.data()) - good.data() + entry.key.size() + 4;
    for (uint32_t bits :
         {0u, 1u, 3u, 0xffffffffu, 0x80000000u, 0x7fffffffu, 0x7f800000u, 0x7fc00000u, 0xc0000000u, 0x01000000u}) {
      std::vector<std::byte> bad = good;
      std::memcpy(bad.data() + at, &bits, sizeof bits);
      auto changed = ModelSource::from_memory(bad, "bad.gguf");
      if (!changed.ok()) continue;
      ++tried;
      const auto spec = read_model_spec(**changed);
      if (!spec.ok()) {
        ++refused;
        continue;
      }
      EXPECT_LE(spec->layers.size(), 2u);
      EXPECT_LE(spec->layers[0].attention.heads * spec->layers[0].attention.head_dim, 64u);
    }
  }
  EXPECT_GT(tried, 100u);
  EXPECT_GT(refused, tried / 4);
}

}  // namespace

}  // namespace lahar
