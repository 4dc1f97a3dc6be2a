// The model: opening, tokens, chat templates.
#include <fstream>

#include "api/api_test.h"
#include "lahar/pumice.h"
#include "test_data.h"

namespace lahar::test {
namespace {

class ModelTest : public ApiTest {
 protected:
  void SetUp() override {
    runtime = make_runtime();
    model = pumice(runtime);
    ASSERT_NE(model, nullptr);
  }

  // The ids that lahar_tokenize or lahar_tokenize_chat writes.
  template <typename Call>
  std::vector<int32_t> ids(const Call& call) {
    std::vector<int32_t> out(4096);
    size_t count = 0;
    EXPECT_EQ(call(out.data(), out.size(), &count), LAHAR_OK) << lahar_model_error(model.get());
    out.resize(count);
    return out;
  }
  template <typename Call>
  std::string text(const Call& call) {
    std::string out(1 << 16, '\0');
    size_t length = 0;
    EXPECT_EQ(call(out.data(), out.size(), &length), LAHAR_OK) << lahar_model_error(model.get());
    out.resize(length);
    return out;
  }
  std::vector<int32_t> tokenize(std::string_view s, uint32_t flags) {
    return ids([&](int32_t* out, size_t capacity, size_t* count) {
      return lahar_tokenize(model.get(), s.data(), s.size(), flags, out, capacity, count);
    });
  }
  std::vector<int32_t> tokenize_chat(const std::string& json) {
    return ids([&](int32_t* out, size_t capacity, size_t* count) {
      return lahar_tokenize_chat(model.get(), json.c_str(), out, capacity, count);
    });
  }
  std::string apply_template(const std::string& json) {
    return text([&](char* out, size_t capacity, size_t* length) {
      return lahar_apply_template(model.get(), json.c_str(), out, capacity, length);
    });
  }
  std::string detokenize(const std::vector<int32_t>& tokens) {
    return text([&](char* out, size_t capacity, size_t* length) {
      return lahar_detokenize(model.get(), tokens.data(), tokens.size(), out, capacity, length);
    });
  }

  Runtime runtime;
  Model model;
};

TEST_F(ModelTest, OpensFromAPath) {
  const auto path = (source_folder() / "model" / "default" / "pumice-q8_0.gguf").string();
  lahar_model* opened = nullptr;
  ASSERT_EQ(lahar_model_open(runtime.get(), path.c_str(), &opened), LAHAR_OK) << lahar_runtime_error(runtime.get());
  const Model from_path(opened);
  size_t count = 0;
  EXPECT_EQ(lahar_tokenize(from_path.get(), "Hello, world!", 13, 0, nullptr, 0, &count), LAHAR_LIMIT);
  EXPECT_EQ(count, 5u);
}

TEST_F(ModelTest, RefusesWhatIsNoModel) {
  lahar_model* opened = model.get();
  EXPECT_EQ(lahar_model_open(runtime.get(), "/nowhere/at-all.gguf", &opened), LAHAR_NOT_FOUND);
  EXPECT_EQ(opened, nullptr);
  EXPECT_NE(std::string(lahar_runtime_error(runtime.get())).find("/nowhere/at-all.gguf"), std::string::npos)
      << lahar_runtime_error(runtime.get());

  opened = model.get();
  const std::string garbage(1000, 'x');
  EXPECT_EQ(lahar_model_open_memory(runtime.get(), garbage.data(), garbage.size(), &opened), LAHAR_FORMAT);
  EXPECT_EQ(opened, nullptr);
  size_t size = 0;
  const void* data = lahar_pumice_data(&size);
  EXPECT_EQ(lahar_model_open_memory(runtime.get(), data, size / 2, &opened), LAHAR_FORMAT);
  EXPECT_EQ(lahar_model_open_memory(runtime.get(), data, 0, &opened), LAHAR_FORMAT);
}

TEST_F(ModelTest, NullArguments) {
  lahar_model* opened = nullptr;
  EXPECT_EQ(lahar_model_open(nullptr, "x", &opened), LAHAR_INVALID_ARGUMENT);
  EXPECT_EQ(lahar_model_open(runtime.get(), nullptr, &opened), LAHAR_INVALID_ARGUMENT);
  EXPECT_STREQ(lahar_runtime_error(runtime.get()), "path must not be NULL");
  EXPECT_EQ(lahar_model_open(runtime.get(), "x", nullptr), LAHAR_INVALID_ARGUMENT);
  EXPECT_EQ(lahar_model_open_memory(runtime.get(), nullptr, 4, &opened), LAHAR_INVALID_ARGUMENT);
  lahar_model_destroy(nullptr);
  EXPECT_STREQ(lahar_model_error(nullptr), "");

  int32_t id = 0;
  char c = 0;
  size_t count = 7;
  EXPECT_EQ(lahar_tokenize(nullptr, "a", 1, 0, &id, 1, &count), LAHAR_INVALID_ARGUMENT);
  EXPECT_EQ(count, 0u);
  EXPECT_EQ(lahar_tokenize(model.get(), nullptr, 1, 0, &id, 1, &count), LAHAR_INVALID_ARGUMENT);
  EXPECT_EQ(lahar_tokenize(model.get(), "a", 1, 0, nullptr, 1, &count), LAHAR_INVALID_ARGUMENT);
  EXPECT_EQ(lahar_tokenize(model.get(), "a", 1, 0, &id, 1, nullptr), LAHAR_INVALID_ARGUMENT);
  EXPECT_EQ(lahar_tokenize(model.get(), "a", 1, 1u << 30, &id, 1, &count), LAHAR_INVALID_ARGUMENT);
  EXPECT_EQ(lahar_tokenize(model.get(), nullptr, 0, 0, nullptr, 0, &count), LAHAR_OK);
  EXPECT_EQ(lahar_detokenize(model.get(), nullptr, 1, &c, 1, &count), LAHAR_INVALID_ARGUMENT);
  EXPECT_EQ(lahar_detokenize(model.get(), nullptr, 0, nullptr, 0, &count), LAHAR_OK);
  EXPECT_EQ(lahar_apply_template(model.get(), nullptr, &c, 1, &count), LAHAR_INVALID_ARGUMENT);
  EXPECT_EQ(lahar_tokenize_chat(model.get(), nullptr, &id, 1, &count), LAHAR_INVALID_ARGUMENT);
}

TEST_F(ModelTest, TokenizesAsTheReference) {
  for (const auto& row : expected()["tokenizer"]) {
    const std::string s = row["text"];
    const auto want = row["ids"].get<std::vector<int32_t>>();
    const std::vector<int32_t> got = tokenize(s, LAHAR_TOKENIZE_PARSE_SPECIAL);
    EXPECT_EQ(got, want) << s;
    EXPECT_EQ(detokenize(got), s);
  }
  const std::string special = "<|im_start|>";
  EXPECT_EQ(tokenize(special, LAHAR_TOKENIZE_PARSE_SPECIAL).size(), 1u);
  EXPECT_GT(tokenize(special, 0).size(), 1u);
}

TEST_F(ModelTest, BuffersThatAreTooSmall) {
  size_t count = 0;
  std::vector<int32_t> out(6, -7);
  EXPECT_EQ(lahar_tokenize(model.get(), "Hello, world!", 13, 0, out.data(), 3, &count), LAHAR_LIMIT);
  EXPECT_EQ(count, 5u);
  EXPECT_EQ(out, (std::vector<int32_t>{1086, 14, 686, -7, -7, -7}));
  EXPECT_STREQ(lahar_model_error(model.get()), "the result has 5 tokens, there is room for 3");
  EXPECT_EQ(lahar_tokenize(model.get(), "Hello, world!", 13, 0, out.data(), 5, &count), LAHAR_OK);
  EXPECT_EQ(out[5], -7);

  std::string s(20, '#');
  size_t length = 0;
  EXPECT_EQ(lahar_detokenize(model.get(), out.data(), 5, s.data(), 12, &length), LAHAR_LIMIT);
  EXPECT_EQ(length, 13u);
  EXPECT_EQ(s, "Hello, world########");
  EXPECT_EQ(lahar_detokenize(model.get(), out.data(), 5, s.data(), 13, &length), LAHAR_OK);
  EXPECT_EQ(s, "Hello, world!#######") << "no NUL is added";
}

TEST_F(ModelTest, DetokenizeRefusesForeignIds) {
  const int32_t ids[] = {5, 1 << 30};
  char c[64];
  size_t length = 7;
  EXPECT_EQ(lahar_detokenize(model.get(), ids, 2, c, sizeof(c), &length), LAHAR_INVALID_ARGUMENT);
  EXPECT_EQ(length, 0u);
}

TEST_F(ModelTest, ChatTemplate) {
  nlohmann::json chat = nlohmann::json::parse(user_message("Hi"));
  EXPECT_EQ(apply_template(chat.dump()).find("assistant"), std::string::npos);
  chat["add_generation_prompt"] = true;
  const std::string rendered = apply_template(chat.dump());
  EXPECT_NE(rendered.find("<|im_start|>user\nHi<|im_end|>"), std::string::npos) << rendered;
  EXPECT_NE(rendered.find("assistant"), std::string::npos) << rendered;

  for (const auto& row : expected()["greedy"]) {
    nlohmann::json question = nlohmann::json::parse(user_message(row["question"]));
    question["add_generation_prompt"] = true;
    EXPECT_EQ(tokenize_chat(question.dump()), row["prompt_ids"].get<std::vector<int32_t>>());
  }
}

TEST_F(ModelTest, TextOfAMessageNeverBecomesASpecialToken) {
  const std::string json = user_message("<|im_end|>");
  const std::vector<int32_t> chat = tokenize_chat(json);
  const std::string rendered = apply_template(json);
  const std::vector<int32_t> parsed = tokenize(rendered, LAHAR_TOKENIZE_PARSE_SPECIAL);
  const auto ends = [&](const std::vector<int32_t>& ids) {
    return std::count(ids.begin(), ids.end(), tokenize("<|im_end|>", LAHAR_TOKENIZE_PARSE_SPECIAL)[0]);
  };
  EXPECT_EQ(ends(parsed), ends(chat) + 1);
  EXPECT_EQ(detokenize(chat), rendered);
}

TEST_F(ModelTest, ChatsThatAreWrong) {
  const auto status = [&](const std::string& json) {
    char out[4096];
    size_t length = 7;
    const lahar_status s = lahar_apply_template(model.get(), json.c_str(), out, sizeof(out), &length);
    if (s != LAHAR_OK) {
      EXPECT_EQ(length, 0u);
      EXPECT_STRNE(lahar_model_error(model.get()), "");
      EXPECT_EQ(std::string(lahar_model_error(model.get())).find('\n'), std::string::npos);
    }
    return s;
  };
  EXPECT_EQ(status(user_message("Hi")), LAHAR_OK);
  EXPECT_EQ(status(""), LAHAR_INVALID_ARGUMENT);
  EXPECT_EQ(status("{\"messages\": ["), LAHAR_INVALID_ARGUMENT);
  EXPECT_EQ(status("[]"), LAHAR_INVALID_ARGUMENT);
  EXPECT_EQ(status("{}"), LAHAR_INVALID_ARGUMENT);
  EXPECT_EQ(status("{\"messages\": 5}"), LAHAR_INVALID_ARGUMENT);
  EXPECT_EQ(status("{\"messages\": [{\"role\": \"user\", \"content\": \"\xff\"}]}"), LAHAR_INVALID_ARGUMENT);
  const std::string deep = std::string(100000, '[') + std::string(100000, ']');
  EXPECT_EQ(status("{\"messages\": [], \"x\": " + deep + "}"), LAHAR_INVALID_ARGUMENT);
}

// A vocabulary alone: text works, an engine does not.
TEST_F(ModelTest, AModelOfRealVocabulary) {
  LAHAR_NEED_DATA(folder, "golden/vocab");
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    if (entry.path().extension() != ".gguf") continue;
    lahar_model* opened = nullptr;
    ASSERT_EQ(lahar_model_open(runtime.get(), entry.path().c_str(), &opened), LAHAR_OK)
        << lahar_runtime_error(runtime.get());
    model.reset(opened);
    EXPECT_EQ(detokenize(tokenize("hello", 0)), "hello") << entry.path();
    lahar_engine* engine = nullptr;
    const lahar_engine_options options = engine_options();
    EXPECT_NE(lahar_engine_open(model.get(), &options, &engine), LAHAR_OK);
    EXPECT_EQ(engine, nullptr);
    return;
  }
  GTEST_SKIP() << "no GGUF in " << folder;
}

}  // namespace
}  // namespace lahar::test
