#include <gtest/gtest.h>

#include <cmath>
#include <memory>

#include "core/json.h"
#include "core/quote.h"

namespace lahar {
namespace {

using nlohmann::json;

std::string error_of(std::string_view text, const JsonLimits& limits = {}) {
  const auto value = parse_json(text, "file.json", limits);
  EXPECT_FALSE(value.ok()) << text;
  if (value.ok()) return {};
  EXPECT_TRUE(value.error().message.starts_with("file.json: ")) << value.error().message;
  EXPECT_EQ(value.error().message.find('\n'), std::string::npos);
  return value.error().message;
}

TEST(Json, ReadsWhatTheLibraryReads) {
  const std::string_view texts[] = {
      "null",
      "true",
      "-1",
      "18446744073709551615",
      "1.5e3",
      "\"a\\u00e4\\ud83d\\ude00\\n\"",
      "[]",
      "{}",
      "[1,[2,{\"a\":[]}],\"x\"]",
      "{\"a\":{\"b\":[1,2,3]},\"c\":null,\"d\":[{},{}]}",
      " \t\n[ 1 , 2 ]\r\n",
  };
  for (const std::string_view text : texts) {
    const auto value = parse_json(text, "file.json");
    ASSERT_TRUE(value.ok()) << value.error().message;
    EXPECT_EQ(*value, json::parse(text)) << text;
  }
}

TEST(Json, LastOfRepeatedKeysCountsUnlessRefused) {
  const auto value = parse_json(R"({"a":1,"b":2,"a":3})", "file.json");
  ASSERT_TRUE(value.ok());
  EXPECT_EQ(*value, json::parse(R"({"a":3,"b":2})"));
  EXPECT_NE(error_of(R"({"a":1,"b":2,"a":3})", {.refuse_repeated_keys = true}).find("'a' is there twice"),
            std::string::npos);
}

TEST(Json, RefusesWhatIsNoJson) {
  for (const std::string_view text : {"", " ", "{", "[1,", "[1,]", "{\"a\"}", "{\"a\":}", "nul", "1 2", "[1]]", "'a'", "NaN",
                                      "1e999", "\"\\ud800\"", "\"a\nb\"", "[1}"})
    error_of(text);
  EXPECT_NE(error_of("[1,\n 2,\n x]").find("line 3"), std::string::npos);
}

TEST(Json, InvalidUtf8IsAnError) {
  for (const std::string_view bytes : {"\xff", "\xc0\xaf", "\xed\xa0\x80", "\xf5\x80\x80\x80", "\xe2\x82", "\x80"})
    error_of(std::string("\"").append(bytes) + "\"");
  EXPECT_TRUE(parse_json("\"\xe2\x82\xac\"", "file.json").ok());
}

TEST(Json, DepthIsBounded) {
  const auto nested = [](size_t depth) { return std::string(depth, '[') + std::string(depth, ']'); };
  EXPECT_TRUE(parse_json(nested(128), "file.json").ok());
  EXPECT_NE(error_of(nested(129)).find("deeper than 128"), std::string::npos);
  error_of(std::string(1'000'000, '['));
  std::string objects;
  for (int i = 0; i < 100'000; ++i) objects += "{\"a\":";
  error_of(objects);
}

TEST(Json, EveryTruncationIsAnError) {
  const std::string text = R"({"a": [1, -2.5e1, true, null, "x\u00e4ä"], "b": {"c": "\ud83d\ude00"}})";
  ASSERT_TRUE(parse_json(text, "file.json").ok());
  for (size_t n = 0; n < text.size(); ++n) {
    const std::unique_ptr<char[]> exact(new char[n]);
    std::copy_n(text.data(), n, exact.get());
    error_of({exact.get(), n});
  }
}

TEST(Json, MessagesAreOneShortLine) {
  std::string text = "[";
  for (int i = 0; i < 1000; ++i) text += "\\n\x01";
  const std::string message = error_of(text + std::string(10000, 'x'));
  EXPECT_LT(message.size(), 400u);
  for (const char c : message) EXPECT_GE(static_cast<unsigned char>(c), 0x20);
}

class JsonReaderTest : public testing::Test {
 protected:
  const json object_ = json::parse(R"({
    "int": 7, "negative": -3, "whole": 4.0, "half": 0.5, "big": 18446744073709551615, "yes": true, "text": "hello",
    "nothing": null, "list": [1, 2, 3], "mixed": [1, "a"], "names": ["a", "b"], "inside": {"n": 5}, "huge": 1e300})");
  const JsonReader reader_{object_, "config.json"};

  template <typename T>
  void expect_error(const Result<T>& result, std::string_view key) {
    ASSERT_FALSE(result.ok()) << key;
    EXPECT_EQ(result.error().code, ErrorCode::kFormat);
    EXPECT_TRUE(result.error().message.starts_with("config.json: ")) << result.error().message;
    EXPECT_NE(result.error().message.find(key), std::string::npos) << result.error().message;
  }
};

TEST_F(JsonReaderTest, Integers) {
  EXPECT_EQ(*reader_.integer("int"), 7);
  EXPECT_EQ(*reader_.integer("whole"), 4);
  EXPECT_EQ(*reader_.integer("negative", -10, 10), -3);
  EXPECT_EQ(*reader_.integer_or("absent", 9), 9);
  EXPECT_EQ(*reader_.integer_or("nothing", 9), 9);
  EXPECT_EQ(*reader_.integer_or("int", 9), 7);
  for (const char* key : {"negative", "half", "big", "huge", "yes", "text", "list", "inside", "absent", "nothing"})
    expect_error(reader_.integer(key), key);
  expect_error(reader_.integer("int", 8), "int");
  expect_error(reader_.integer("int", 0, 6), "int");
  expect_error(reader_.integer_or("int", 1, 8, 9), "int");
  expect_error(reader_.integer_or("text", 1), "text");
}

TEST_F(JsonReaderTest, Numbers) {
  EXPECT_EQ(*reader_.number("half"), 0.5);
  EXPECT_EQ(*reader_.number("negative"), -3);
  EXPECT_EQ(*reader_.number_or("absent", 2.5), 2.5);
  for (const char* key : {"yes", "text", "list", "absent"}) expect_error(reader_.number(key), key);
  expect_error(reader_.number("half", 1), "half");
  expect_error(reader_.number("half", 0, 0.25), "half");
}

TEST_F(JsonReaderTest, OtherTypes) {
  EXPECT_TRUE(*reader_.boolean("yes"));
  EXPECT_TRUE(*reader_.boolean_or("nothing", true));
  expect_error(reader_.boolean("int"), "int");
  EXPECT_EQ(*reader_.string("text"), "hello");
  EXPECT_EQ(*reader_.string_or("absent", "x"), "x");
  expect_error(reader_.string("int"), "int");
  EXPECT_EQ(*reader_.integers("list"), (std::vector<int64_t>{1, 2, 3}));
  EXPECT_TRUE(reader_.integers("absent")->empty());
  EXPECT_EQ(*reader_.numbers("list"), (std::vector<double>{1, 2, 3}));
  EXPECT_EQ(*reader_.strings("names"), (std::vector<std::string>{"a", "b"}));
  expect_error(reader_.integers("mixed"), "mixed");
  expect_error(reader_.integers("list", 0, 2), "list");
  expect_error(reader_.strings("mixed"), "mixed");
  expect_error(reader_.numbers("int"), "int");
}

TEST_F(JsonReaderTest, Objects) {
  const auto inside = reader_.object("inside");
  ASSERT_TRUE(inside.ok());
  EXPECT_EQ(*inside->integer("n"), 5);
  expect_error(inside->integer("m"), "inside: key 'm'");
  EXPECT_FALSE(reader_.object("absent")->has("n"));
  expect_error(reader_.object("list"), "list");
  EXPECT_FALSE(JsonReader(object_["list"], "config.json").has("int"));
}

TEST(Quote, KeepsMessagesOnOneLine) {
  EXPECT_EQ(quote("abc"), "'abc'");
  EXPECT_EQ(quote("a\nb\x7f\xc3"), "'a\\x0ab\\x7f\\xc3'");
  EXPECT_EQ(quote("abcdef", 3), "'abc...'");
}

}  // namespace
}  // namespace lahar
