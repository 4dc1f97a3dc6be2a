#include <nlohmann/json.hpp>

#include "format/hf_folder.h"
#include "format/model_source.h"
#include "format_test.h"

namespace lahar {
namespace {

using test::write_file;

// A safetensors file with one-byte tensors
std::string weights(const std::vector<std::string>& names) {
  std::string header = "{";
  for (size_t i = 0; i < names.size(); ++i)
    header += (i == 0 ? "\"" : ",\"") + names[i] + "\":{\"dtype\":\"I8\",\"shape\":[1],\"data_offsets\":[" +
              std::to_string(i) + "," + std::to_string(i + 1) + "]}";
  header += "}";
  test::ByteBuilder b;
  b.put<uint64_t>(header.size());
  b.bytes += header;
  for (size_t i = 0; i < names.size(); ++i) b.bytes += static_cast<char>('0' + i);
  return b.bytes;
}

class HfFolderTest : public test::FolderTest {
 protected:
  void SetUp() override {
    FolderTest::SetUp();
    write("config.json", R"({"model_type": "llama", "hidden_size": 64})");
  }
  void write(const std::string& name, std::string_view text) const { write_file(folder_ / name, text); }
  void index(const std::string& map) const { write("model.safetensors.index.json", "{\"weight_map\":" + map + "}"); }
  void refused(std::string_view part) const {
    const auto result = HfFolder::open(folder_);
    ASSERT_FALSE(result.ok()) << "expected: " << part;
    test::expect_message(result.error(), folder_.string(), part);
  }
};

TEST_F(HfFolderTest, OneFile) {
  write("model.safetensors", weights({"b", "a"}));
  write("generation_config.json", R"({"eos_token_id": [1, 2]})");
  write("tokenizer_config.json", R"({"chat_template": "from config"})");
  write("tokenizer.json", "{\"x\":1}");
  const auto folder = HfFolder::open(folder_);
  ASSERT_TRUE(folder.ok()) << folder.error().message;
  EXPECT_EQ(folder->config()["hidden_size"], 64);
  EXPECT_EQ(folder->generation_config()["eos_token_id"][1], 2);
  ASSERT_EQ(folder->tensors().size(), 2u);
  EXPECT_EQ(folder->tensors()[0].name, "a");
  EXPECT_EQ(folder->find_tensor("b")->data[0], std::byte{'0'});
  EXPECT_EQ(folder->find_tensor("c"), nullptr);
  EXPECT_EQ(folder->files().size(), 1u);
  EXPECT_TRUE(folder->missing_files().empty());
  EXPECT_EQ(folder->tokenizer_json(), "{\"x\":1}");
  EXPECT_EQ(folder->chat_template(), "from config");
}

TEST_F(HfFolderTest, NumbersThatJsonDoesNotHave) {
  write("config.json", R"({"model_type": "mamba2", "limit": [0.5, Infinity, -Infinity], "x": NaN, "t": "\"Infinity NaN"})");
  write("model.safetensors", weights({"a"}));
  const auto folder = HfFolder::open(folder_);
  ASSERT_TRUE(folder.ok()) << folder.error().message;
  EXPECT_EQ(folder->config()["limit"], nlohmann::json::parse("[0.5, null, null]"));
  EXPECT_TRUE(folder->config()["x"].is_null());
  EXPECT_EQ(folder->config()["t"], "\"Infinity NaN");
}

TEST_F(HfFolderTest, ChatTemplateFileGoesFirst) {
  write("tokenizer_config.json",
        R"({"chat_template": [{"name": "tool", "template": "no"}, 3, {"name": "default", "template": "yes"}]})");
  EXPECT_EQ(HfFolder::open(folder_)->chat_template(), "yes");
  write("chat_template.jinja", "from file");
  EXPECT_EQ(HfFolder::open(folder_)->chat_template(), "from file");
}

TEST_F(HfFolderTest, NoTemplateNoTokenizerNoWeights) {
  const auto folder = HfFolder::open(folder_);
  ASSERT_TRUE(folder.ok()) << folder.error().message;
  EXPECT_TRUE(folder->tensors().empty());
  ASSERT_EQ(folder->missing_files().size(), 1u);
  EXPECT_EQ(folder->missing_files()[0], "model.safetensors");
  EXPECT_EQ(folder->tokenizer_json(), std::nullopt);
  EXPECT_EQ(folder->chat_template(), std::nullopt);
  EXPECT_TRUE(folder->generation_config().is_object());
  EXPECT_TRUE(folder->tokenizer_config().is_object());
}

TEST_F(HfFolderTest, Shards) {
  write("one.safetensors", weights({"a", "c"}));
  write("two.safetensors", weights({"b"}));
  index(R"({"a": "one.safetensors", "b": "two.safetensors", "c": "one.safetensors"})");
  const auto folder = HfFolder::open(folder_);
  ASSERT_TRUE(folder.ok()) << folder.error().message;
  ASSERT_EQ(folder->tensors().size(), 3u);
  EXPECT_EQ(folder->tensors()[1].name, "b");
  EXPECT_EQ(folder->find_tensor("c")->data[0], std::byte{'1'});
  EXPECT_EQ(folder->files().size(), 2u);
}

TEST_F(HfFolderTest, MissingShardIsReportedButLoads) {
  write("one.safetensors", weights({"a"}));
  index(R"({"a": "one.safetensors", "b": "two.safetensors"})");
  const auto folder = HfFolder::open(folder_);
  ASSERT_TRUE(folder.ok()) << folder.error().message;
  EXPECT_NE(folder->find_tensor("a"), nullptr);
  ASSERT_EQ(folder->missing_files().size(), 1u);
  EXPECT_EQ(folder->missing_files()[0], "two.safetensors");
}

TEST_F(HfFolderTest, IndexThatLies) {
  write("one.safetensors", weights({"a"}));
  index(R"({"a": "one.safetensors", "b": "one.safetensors"})");
  refused("tensor 'b' is missing, the index says it is here");
  write("two.safetensors", weights({"a", "b"}));
  index(R"({"a": "one.safetensors", "b": "two.safetensors"})");
  refused("tensor 'a' is in two of the weight files");
  index("[]");
  refused("key 'weight_map': an object expected");
  index(R"({"a": 3})");
  refused("tensor 'a': the name of a file in this folder expected");
  write("model.safetensors.index.json", "{}");
  refused("key 'weight_map'");
}

TEST_F(HfFolderTest, NamesThatLeaveTheFolderAreRefused) {
  write_file(folder_.parent_path() / "lahar_outside.safetensors", weights({"a"}));
  for (const std::string name : {"../lahar_outside.safetensors", "/etc/passwd", "sub/one.safetensors", "..\\\\one", "", ".",
                                 "..", "C:one.safetensors", "one\\u0000two"}) {
    index("{\"a\": \"" + name + "\"}");
    refused("the name of a file in this folder expected");
  }
  std::filesystem::remove(folder_.parent_path() / "lahar_outside.safetensors");
}

TEST_F(HfFolderTest, DamagedFilesAreNamed) {
  write("model.safetensors", "not weights");
  refused("model.safetensors: ");
  write("model.safetensors", weights({"a"}));
  write("generation_config.json", "[]");
  refused("generation_config.json: a JSON object expected");
  write("generation_config.json", "{\"a\":");
  refused("generation_config.json: not valid JSON");
  write("generation_config.json", "{}");
  write("tokenizer_config.json", "");
  refused("tokenizer_config.json: not valid JSON");
  write("config.json", "7");
  refused("config.json: a JSON object expected");
  std::filesystem::remove(folder_ / "config.json");
  refused("no config.json");
}

class ModelSourceTest : public HfFolderTest {};

TEST_F(ModelSourceTest, Folder) {
  write("model.safetensors", weights({"b", "a"}));
  const auto source = ModelSource::open(folder_);
  ASSERT_TRUE(source.ok()) << source.error().message;
  EXPECT_EQ((*source)->gguf(), nullptr);
  ASSERT_NE((*source)->hf(), nullptr);
  EXPECT_EQ((*source)->architecture(), "llama");
  EXPECT_EQ((*source)->tensors().size(), 2u);
  EXPECT_NE((*source)->find_tensor("a"), nullptr);
  EXPECT_EQ((*source)->name(), folder_.string());
  (*source)->release((*source)->find_tensor("a")->data);
  (*source)->release({});
  write("config.json", R"({"model_type": 3})");
  EXPECT_EQ((*ModelSource::open(folder_))->architecture(), "");
}

TEST_F(ModelSourceTest, Gguf) {
  test::ByteBuilder b;
  b.bytes = "GGUF";
  b.put<uint32_t>(3).length(1).length(1).string("general.architecture").type(8).string("qwen3");
  b.string("t").type(1).length(1).type(0).length(0).pad(32).put(1.0f);
  write("m.gguf", b.bytes);
  const auto source = ModelSource::open(folder_ / "m.gguf");
  ASSERT_TRUE(source.ok()) << source.error().message;
  EXPECT_EQ((*source)->hf(), nullptr);
  EXPECT_EQ((*source)->architecture(), "qwen3");
  EXPECT_NE((*source)->find_tensor("t"), nullptr);
  EXPECT_TRUE((*source)->missing_files().empty());

  const auto memory = ModelSource::from_memory(test::as_bytes(b.bytes), "built in");
  ASSERT_TRUE(memory.ok()) << memory.error().message;
  EXPECT_EQ((*memory)->name(), "built in");
  (*memory)->release((*memory)->tensors()[0].data);  // not in a file: nothing happens
  EXPECT_EQ((*memory)->tensors()[0].data.size(), 4u);
}

TEST_F(ModelSourceTest, WhatIsNoModelIsNamed) {
  const auto error = [](const std::filesystem::path& path) {
    const auto source = ModelSource::open(path);
    EXPECT_FALSE(source.ok());
    return source.ok() ? Error{} : source.error();
  };
  EXPECT_EQ(error(folder_ / "nothing").code, ErrorCode::kNotFound);
  EXPECT_EQ(error(folder_ / "config.json").code, ErrorCode::kInvalidArgument);
  test::expect_message(error(folder_ / "config.json"), (folder_ / "config.json").string(), "name the folder instead");
  std::filesystem::create_directories(folder_ / "empty");
  test::expect_message(error(folder_ / "empty"), (folder_ / "empty").string(), "no config.json");
  write("text.txt", "some text");
  test::expect_message(error(folder_ / "text.txt"), (folder_ / "text.txt").string(), "not a GGUF file");
  write("nothing.gguf", "");
  test::expect_message(error(folder_ / "nothing.gguf"), (folder_ / "nothing.gguf").string(), "not a GGUF file");
}

}  // namespace
}  // namespace lahar
