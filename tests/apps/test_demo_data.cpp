// The demo's conversation, list of models and curves.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "demo/conversation.h"
#include "demo/model_list.h"
#include "demo/series.h"
#include "demo/wide_text.h"
#include "demo/wrapped_input.h"
#include "temporary_folder.h"

namespace lahar::demo {
namespace {

namespace fs = std::filesystem;

std::string contents(const Conversation& conversation) {
  std::string text;
  for (const Message& message : conversation.messages()) text += message.role + ":" + message.content + ";";
  return text;
}

TEST(Conversation, GrowsAndBranches) {
  Conversation c;
  EXPECT_EQ(c.last(), nullptr);
  c.append("user", "a");
  Node* reply = c.append("assistant", "b");
  c.append("user", "c");
  EXPECT_EQ(contents(c), "user:a;assistant:b;user:c;");
  Node* other = c.branch(reply->parent, "assistant", "B");
  EXPECT_EQ(contents(c), "user:a;assistant:B;") << "the path takes the new branch";
  EXPECT_EQ(c.last(), other);
  c.turn(other, -1);
  EXPECT_EQ(contents(c), "user:a;assistant:b;user:c;");
  c.turn(reply, -1);
  EXPECT_EQ(contents(c), "user:a;assistant:b;user:c;") << "there is none further";
  c.turn(reply, 5);
  EXPECT_EQ(contents(c), "user:a;assistant:B;");
  c.remove(other);
  EXPECT_EQ(contents(c), "user:a;assistant:b;user:c;");
}

TEST(Conversation, MessagesUpToOne) {
  Conversation c;
  c.system_prompt = "be kind";
  Node* question = c.append("user", "a");
  c.append("assistant", "b");
  const auto messages = c.messages(question);
  ASSERT_EQ(messages.size(), 2u);
  EXPECT_EQ(messages[0].role, "system");
  EXPECT_EQ(messages[1].content, "a");
}

TEST(Conversation, SavedAndLoaded) {
  Conversation c;
  c.system_prompt = "s \"quoted\"";
  Node* question = c.append("user", "a\nb");
  c.append("assistant", "ä");
  c.branch(question, "assistant", "second");
  c.turn(question->children[1].get(), -1);
  const std::string json = c.to_json();
  Conversation read;
  std::string error;
  ASSERT_TRUE(read.from_json(json, &error)) << error;
  EXPECT_EQ(read.system_prompt, c.system_prompt);
  EXPECT_EQ(contents(read), contents(c));
  EXPECT_EQ(read.path()[0]->children.size(), 2u);
  EXPECT_EQ(read.to_json(), json);
}

TEST(Conversation, WhatIsNoConversation) {
  Conversation c;
  c.append("user", "kept");
  std::string error;
  const std::string good = c.to_json();
  for (size_t length = 0; length + 2 < good.size(); length += 3) {
    EXPECT_FALSE(c.from_json(good.substr(0, length), &error)) << length;
    EXPECT_NE(error, "");
  }
  EXPECT_FALSE(c.from_json("{\"format\":\"other\"}", &error));
  EXPECT_FALSE(c.from_json(R"({"format":"lahar-conversation","version":1,"system":"","chosen":3,"messages":[]})", &error));
  EXPECT_EQ(contents(c), "user:kept;");
}

TEST(ModelList, KeepsTheLastOpenedInFront) {
  const test::TemporaryFolder folder;
  const fs::path file = folder / "deep/list";
  {
    ModelList list(file);
    EXPECT_TRUE(list.recent().empty());
    for (int i = 0; i < 20; ++i) list.opened("/models/" + std::to_string(i) + ".gguf");
    list.opened("/models/15.gguf");
    list.opened("");
  }
  ModelList list(file);
  ASSERT_EQ(list.recent().size(), ModelList::kMost);
  EXPECT_EQ(list.recent()[0], "/models/15.gguf");
  EXPECT_EQ(list.recent()[1], "/models/19.gguf");
  list.forget("/models/15.gguf");
  EXPECT_EQ(ModelList(file).recent()[0], "/models/19.gguf");
}

TEST(ModelList, WhatIsAModel) {
  const test::TemporaryFolder folder;
  std::ofstream(folder / "good.gguf", std::ios::binary) << "GGUF and more";
  std::ofstream(folder / "bad.gguf", std::ios::binary) << "PNG";
  fs::create_directories(folder / "empty");
  fs::create_directories(folder / "hf");
  std::ofstream(folder / "hf/config.json") << "{}";
  EXPECT_EQ(why_no_model((folder / "good.gguf").string()), "");
  EXPECT_EQ(why_no_model((folder / "hf").string()), "");
  EXPECT_NE(why_no_model((folder / "bad.gguf").string()), "");
  EXPECT_NE(why_no_model((folder / "empty").string()), "");
  EXPECT_NE(why_no_model((folder / "nothing").string()), "");
  EXPECT_EQ(model_name((folder / "good.gguf").string()), "good.gguf");
  EXPECT_EQ(model_name("/a/b/folder/"), "folder");
  EXPECT_EQ(model_name(""), "Pumice (built in)");
}

TEST(WideText, ThereAndBack) {
  WideText wide;
  const std::string plain = "a\u00e4\u20ac\n", odd = "\U0001f600x\ue000\u200d\U0001f600";
  EXPECT_EQ(wide.shown(plain), plain);
  const std::string shown = wide.shown(odd);
  EXPECT_EQ(shown.size(), 13u) << "four characters of three bytes, and an x";
  EXPECT_EQ(wide.original(shown), odd);
  EXPECT_EQ(wide.characters(), (std::vector<uint32_t>{0x1f600, 0xe000, 0x200d}));
  EXPECT_EQ(wide.shown(std::string_view("\xf0\x9f\x98z", 4)), "z") << "half a character";
}

float one_each(uint32_t) { return 1; }
std::string lines(std::string_view text, float width) {
  std::string out;
  for (const char c : wrap(text, 0, width, one_each).text) out += c;
  for (size_t at; (at = out.find("\u200b\n\u200b")) != std::string::npos;) out.replace(at, 7, "|");
  return out;
}

TEST(WrappedInput, BreaksAtWords) {
  EXPECT_EQ(lines("", 5), "");
  EXPECT_EQ(lines("one two three", 8), "one two |three");
  EXPECT_EQ(lines("one two", 7), "one two");
  EXPECT_EQ(lines("one two", 6), "one |two");
  EXPECT_EQ(lines("abcdefgh", 3), "abc|def|gh");
  EXPECT_EQ(lines("a\nbcd ef", 4), "a\nbcd |ef");
  EXPECT_EQ(lines("ab     cd", 3), "ab     |cd") << "spaces hang over the edge";
  EXPECT_EQ(lines("\u4e2d\u6587\u5b57", 2), "\u4e2d\u6587|\u5b57");
  EXPECT_EQ(lines("abc", 0.5f), "a|b|c") << "a box that is too narrow";
}

TEST(WrappedInput, WrappedAgainItIsTheSame) {
  const WrappedText once = wrap("one two three four", 5, 8, one_each);
  const WrappedText twice = wrap(once.text, once.cursor, 8, one_each);
  EXPECT_EQ(once.text, twice.text);
  EXPECT_EQ(once.cursor, twice.cursor);
  EXPECT_EQ(without_soft_breaks(once.text), "one two three four");
}

TEST(WrappedInput, ABreakThatIsDeletedTakesACharacterAlong) {
  const std::string wrapped = wrap("one two three", 0, 8, one_each).text;  // "one two |three"
  const size_t at = wrapped.find("\u200b");
  std::string backspace = wrapped, forward = wrapped;
  backspace.erase(at + 4, 3);  // the second mark
  const WrappedText back = wrap(backspace, at + 4, 100, one_each);
  EXPECT_EQ(back.text, "one twothree");
  EXPECT_EQ(back.cursor, 7u);
  forward.erase(at, 3);
  const WrappedText ahead = wrap(forward, at, 100, one_each);
  EXPECT_EQ(ahead.text, "one two hree");
  EXPECT_EQ(ahead.cursor, 8u);
}

TEST(Series, KeepsTheLastValues) {
  Series series(4);
  EXPECT_EQ(series.quantile(0.5), 0);
  for (const float v : {9.0f, 1.0f, 4.0f, 3.0f, 2.0f}) series.add(v);
  EXPECT_EQ(series.values().size(), 4u);
  EXPECT_EQ(series.last(), 2);
  EXPECT_EQ(series.largest(), 4);
  EXPECT_EQ(series.quantile(0), 1);
  EXPECT_EQ(series.quantile(0.95), 4);
}

}  // namespace
}  // namespace lahar::demo
