// Real vocabularies against the ids that their authors' tokenizers give.
#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>

#include "format/model_source.h"
#include "test_data.h"
#include "text/tokenizer.h"

namespace lahar {
namespace {

std::string read_file(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  return std::string(std::istreambuf_iterator<char>(in), {});
}

std::unique_ptr<Tokenizer> load(const std::filesystem::path& path) {
  auto source = ModelSource::open(path);
  if (!source) {
    ADD_FAILURE() << source.error().message;
    return nullptr;
  }
  auto tokenizer = Tokenizer::from_source(**source, Log([](LogLevel, std::string_view text) { ADD_FAILURE() << text; }));
  if (!tokenizer) {
    ADD_FAILURE() << tokenizer.error().message;
    return nullptr;
  }
  return std::move(*tokenizer);
}

std::vector<int32_t> encode(const Tokenizer& tokenizer, std::string_view text, EncodeOptions options = {}) {
  auto ids = tokenizer.encode(text, options);
  EXPECT_TRUE(ids.ok());
  return ids.ok() ? *ids : std::vector<int32_t>();
}

class VocabularyGolden : public testing::TestWithParam<const char*> {};

TEST_P(VocabularyGolden, IdsMatch) {
  const std::string name = std::string("golden/vocab/ggml-vocab-") + GetParam() + ".gguf";
  LAHAR_NEED_DATA(path, name);
  const auto tokenizer = load(path);
  ASSERT_TRUE(tokenizer);
  const std::string input = read_file(path.string() + ".inp");
  std::istringstream expected(read_file(path.string() + ".out"));
  constexpr std::string_view kMarker = "\n__ggml_vocab_test__\n";
  size_t cases = 0;
  for (size_t at = 0; at <= input.size(); ++cases) {
    const size_t end = std::min(input.find(kMarker, at), input.size());
    const std::string text = input.substr(at, end - at);
    if (text.empty() && end == input.size()) break;  // the file ends with a marker
    at = end == input.size() ? input.size() + 1 : end + kMarker.size();
    std::string line;
    ASSERT_TRUE(std::getline(expected, line)) << "case " << cases;
    std::istringstream numbers(line);
    const std::vector<int32_t> ids{std::istream_iterator<int32_t>(numbers), {}};
    EXPECT_EQ(encode(*tokenizer, text), ids) << "case " << cases << ": '" << text << "'";
    const auto back = tokenizer->decode(ids);
    ASSERT_TRUE(back.ok());
    EXPECT_EQ(*back, text) << "case " << cases;
  }
  EXPECT_EQ(cases, 46u);
  std::string line;
  EXPECT_FALSE(std::getline(expected, line)) << "more ids than texts";
}

INSTANTIATE_TEST_SUITE_P(All, VocabularyGolden, testing::Values("deepseek-llm", "falcon", "gpt-2", "llama-spm", "starcoder"),
                         [](const auto& info) {
                           std::string name = info.param;
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

class PumiceGolden : public testing::TestWithParam<const char*> {};

TEST_P(PumiceGolden, IdsMatch) {
  LAHAR_NEED_DATA(folder, "default-model");
  const auto tokenizer = load(folder / GetParam());
  ASSERT_TRUE(tokenizer);
  const auto expected = nlohmann::json::parse(read_file(folder / "expected.json"));
  for (const auto& one : expected["tokenizer"]) {
    const std::string text = one["text"];
    const std::vector<int32_t> ids = one["ids"];
    EXPECT_EQ(encode(*tokenizer, text, {.parse_special = true}), ids) << text;
    const auto back = tokenizer->decode(ids);
    ASSERT_TRUE(back.ok());
    EXPECT_EQ(*back, text);
  }
  EXPECT_EQ(tokenizer->bos(), 0);
  EXPECT_EQ(tokenizer->eos(), 2);
  EXPECT_FALSE(tokenizer->add_bos_default());
  EXPECT_TRUE(tokenizer->is_special(1));
  EXPECT_FALSE(tokenizer->is_special(3));
  EXPECT_TRUE(tokenizer->ends_generation(2));
  EXPECT_FALSE(tokenizer->ends_generation(1));
}

INSTANTIATE_TEST_SUITE_P(All, PumiceGolden, testing::Values("pumice-q8_0.gguf", "pumice-f32.gguf", "pumice"),
                         [](const auto& info) { return "Source" + std::to_string(info.index); });

TEST(StoriesGolden, ScoresMergeAsTheModelLearned) {
  LAHAR_NEED_DATA(path, "models/stories260K.gguf");
  const auto tokenizer = load(path);
  ASSERT_TRUE(tokenizer);
  EXPECT_EQ(tokenizer->vocab_size(), 512);
  EXPECT_EQ(tokenizer->bos(), 1);
  EXPECT_TRUE(tokenizer->add_bos_default());
  const std::string text = "Once upon a time, there was a little girl named Lily.";
  const auto ids = encode(*tokenizer, text, {.add_bos = true});
  EXPECT_EQ(ids, (std::vector<int32_t>{1, 403, 407, 261, 378, 432, 383, 286, 261, 376, 298, 315, 421, 395, 317, 426}));
  EXPECT_EQ(tokenizer->decode(ids).value(), "<s>" + text);
  EXPECT_EQ(tokenizer->decode(ids, {.skip_special = true}).value(), text);
}

// Models without a tokenizer load for whoever needs none, and say so to whoever asks.
class NoTokenizerGolden : public testing::TestWithParam<const char*> {};

TEST_P(NoTokenizerGolden, IsAnErrorOfItsOwn) {
  LAHAR_NEED_DATA(path, GetParam());
  const auto source = ModelSource::open(path);
  ASSERT_TRUE(source.ok()) << source.error().message;
  const auto tokenizer = Tokenizer::from_source(**source);
  ASSERT_FALSE(tokenizer.ok());
  EXPECT_EQ(tokenizer.error().code, ErrorCode::kNotFound);
  EXPECT_NE(tokenizer.error().message.find("has no tokenizer"), std::string::npos) << tokenizer.error().message;
}

INSTANTIATE_TEST_SUITE_P(All, NoTokenizerGolden, testing::Values("golden/hf/llama-gqa", "golden/hf/qwen3"),
                         [](const auto& info) { return "Source" + std::to_string(info.index); });

}  // namespace
}  // namespace lahar
