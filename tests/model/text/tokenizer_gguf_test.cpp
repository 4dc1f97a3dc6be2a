// Tokenizers from GGUF metadata.
#include <gtest/gtest.h>

#include <cmath>

#include "tokenizer_fixture.h"

namespace lahar {
namespace {

using test::ByteLevelTokens;
using test::cut;
using test::encode;
using test::GgufBytes;
using test::Ids;
using test::must;
using test::open_gguf;

// A SentencePiece-style vocabulary: <unk>, <s>, </s>, the 256 byte tokens (ids 3 to 258), a user-defined token, then
// `pieces` with scores -1, -2, ... in order.
GgufBytes spm(const std::vector<std::string>& pieces) {
  std::vector<std::string> tokens = {"<unk>", "<s>", "</s>"};
  std::vector<int32_t> types = {2, 3, 3};
  std::vector<float> scores(260, 0);
  for (int b = 0; b < 256; ++b) {
    char name[8];
    std::snprintf(name, sizeof name, "<0x%02X>", b);
    tokens.push_back(name), types.push_back(6);
  }
  tokens.push_back("<tool>"), types.push_back(4);
  for (size_t i = 0; i < pieces.size(); ++i) {
    tokens.push_back(pieces[i]), types.push_back(1);
    scores.push_back(-1.0f - static_cast<float>(i));
  }
  GgufBytes file;
  file.string("tokenizer.ggml.model", "llama").strings("tokenizer.ggml.tokens", tokens);
  file.i32s("tokenizer.ggml.token_type", types).f32s("tokenizer.ggml.scores", scores);
  return file;
}

TEST(GgufTokenizer, MergesByScore) {
  const auto t = must(open_gguf(spm({"bc", "ab", "\u2581a", "\u2581", "a", "b", "c"}).bytes()));
  ASSERT_TRUE(t);
  EXPECT_EQ(cut(*t, "abc"), " a|bc");  // bc scores highest, then U+2581 a
  EXPECT_EQ(cut(*t, "bab"), " |b|ab");
  EXPECT_EQ(cut(*t, "a\u00FC"), " a|\xC3|\xBC");
  EXPECT_EQ(encode(*t, ""), Ids());
  EXPECT_EQ(t->bos(), 1);
  EXPECT_EQ(t->eos(), 2);
  EXPECT_EQ(t->unknown(), 0);
  EXPECT_TRUE(t->add_bos_default());
  EXPECT_TRUE(t->ends_generation(2));
}

// Gemma 4: merges of characters, spaces spelled as U+2581, bytes for what has no token, newlines apart.
TEST(GgufTokenizer, MergesOfCharacters) {
  std::vector<std::string> tokens = {"<pad>", "<eos>", "<bos>"};
  std::vector<int32_t> types = {3, 3, 3};
  for (int b = 0; b < 256; ++b) {
    char name[8];
    std::snprintf(name, sizeof name, "<0x%02X>", b);
    tokens.push_back(name), types.push_back(6);
  }
  for (const char* piece : {"a", "b", "\u2581", "\u00E9", "ab", "\u2581ab", "\n", "\n\n", "b\n"})
    tokens.push_back(piece), types.push_back(1);
  GgufBytes file;
  file.string("tokenizer.ggml.model", "gemma4").strings("tokenizer.ggml.tokens", tokens);
  file.i32s("tokenizer.ggml.token_type", types).u32("tokenizer.ggml.bos_token_id", 2).u32("tokenizer.ggml.eos_token_id", 1);
  file.strings("tokenizer.ggml.merges", {"\n \n", "b \n", "a b", "\u2581 ab"});
  const auto t = must(open_gguf(file.bytes()));
  ASSERT_TRUE(t);
  EXPECT_EQ(cut(*t, "ab ab"), "ab| ab");
  EXPECT_EQ(cut(*t, "ab\n\nab"), "ab|\n\n|ab");
  EXPECT_EQ(cut(*t, "b\u00E9\u00FC"), "b|\u00E9|\xC3|\xBC");
  EXPECT_EQ(t->decode(encode(*t, " ab  \u00FC\n")).value(), " ab  \u00FC\n");
  EXPECT_TRUE(t->add_bos_default());
  EXPECT_EQ(t->bos(), 2);
}

TEST(GgufTokenizer, TheSpaceInFrontComesAndGoes) {
  const auto t = must(open_gguf(spm({"\u2581a", "\u2581", "a"}).bytes()));
  ASSERT_TRUE(t);
  for (const std::string& text : std::vector<std::string>{"a", " a", "a a", "  ", "\u2581", "a\n", {"\0 x\xFF", 4}}) {
    const auto back = t->decode(encode(*t, text, {.add_bos = true}), {.skip_special = true});
    EXPECT_EQ(back.value(), text == "\u2581" ? " " : text);  // U+2581 itself is how a space is written
  }
  EXPECT_EQ(cut(*t, "a</s>a", {.parse_special = true}), " a|</s>| a");
  EXPECT_EQ(cut(*t, "a<tool>a"), " a|<tool>| a");
  const auto plain =
      must(open_gguf(spm({"\u2581a", "\u2581", "a"}).boolean("tokenizer.ggml.add_space_prefix", false).bytes()));
  ASSERT_TRUE(plain);
  EXPECT_EQ(cut(*plain, "a a"), "a| a");
  EXPECT_EQ(plain->decode(encode(*plain, " a")).value(), " a");
}

TEST(GgufTokenizer, TextNeverMergesIntoByteOrControlTokens) {
  const auto t =
      must(open_gguf(spm({"<", "<0", "<0x", "<0x4", "<0x41", "<s", "s", ">", "0", "x", "4", "1", "\u2581"}).bytes()));
  ASSERT_TRUE(t);
  EXPECT_EQ(cut(*t, "<0x41>"), " |<0x41|>");
  EXPECT_EQ(cut(*t, "<s>"), " |<s|>");
  EXPECT_EQ(encode(*t, "<s>", {.parse_special = true}), (Ids{1}));
}

TEST(GgufTokenizer, LongTextsMergeByScoreInNearlyLinearTime) {
  std::vector<std::string> pieces;
  for (std::string run = "aa"; run.size() <= 64; run += run) pieces.push_back(run);
  pieces.push_back("a");
  pieces.push_back("\u2581");
  const auto t = must(open_gguf(spm(pieces).bytes()));
  ASSERT_TRUE(t);
  EXPECT_EQ(encode(*t, std::string(1 << 20, 'a')).size(), (size_t{1} << 14) + 1);
}

TEST(GgufTokenizer, EndsOfTurnsByKeyAndByName) {
  ByteLevelTokens tokens;
  for (const char* name : {"<|im_end|>", "<|eot_id|>", "<|other|>"})
    tokens.tokens.push_back(name), tokens.types.push_back(3);
  tokens.tokens.push_back("</s>"), tokens.types.push_back(1);  // ordinary text, not an end
  const auto t = must(open_gguf(tokens.gguf().u32("tokenizer.ggml.eot_token_id", 261).bytes()));
  ASSERT_TRUE(t);
  EXPECT_EQ(Ids(t->end_of_generation().begin(), t->end_of_generation().end()), (Ids{257, 259, 260, 261}));
}

TEST(GgufTokenizer, AnUnknownPreTokenizerRunsWithAWarning) {
  std::string warnings;
  const Log log([&](LogLevel level, std::string_view text) {
    EXPECT_EQ(level, LogLevel::kWarning);
    warnings += text;
  });
  const auto t = must(open_gguf(ByteLevelTokens({"a b"}).gguf("never-heard-of").bytes(), log));
  ASSERT_TRUE(t);
  EXPECT_NE(warnings.find("never-heard-of"), std::string::npos);
  EXPECT_EQ(cut(*t, "ab"), "ab");
}

TEST(GgufTokenizer, NamesDecideAboutWholeWordsAndBos) {
  // "abc" is a token that no merge leads to.
  ByteLevelTokens tokens;
  tokens.tokens.push_back("abc"), tokens.types.push_back(1);
  const auto llama = must(open_gguf(tokens.gguf("llama-bpe").bytes()));
  const auto gpt2 = must(open_gguf(tokens.gguf("gpt-2").bytes()));
  ASSERT_TRUE(llama && gpt2);
  EXPECT_EQ(cut(*llama, "abc"), "abc");
  EXPECT_EQ(cut(*gpt2, "abc"), "a|b|c");
  EXPECT_TRUE(llama->add_bos_default());
  EXPECT_FALSE(gpt2->add_bos_default());
  const auto told = must(open_gguf(tokens.gguf("llama-bpe").boolean("tokenizer.ggml.add_bos_token", false).bytes()));
  ASSERT_TRUE(told);
  EXPECT_FALSE(told->add_bos_default());
}

TEST(GgufTokenizer, MarkersOfPhi3TakeTheSpaceAfterThem) {
  const auto phi = must(open_gguf(ByteLevelTokens().gguf().string("general.name", "Phi-3 mini").bytes()));
  const auto other = must(open_gguf(ByteLevelTokens().gguf().string("general.name", "Other").bytes()));
  ASSERT_TRUE(phi && other);
  const EncodeOptions special{.parse_special = true};
  EXPECT_EQ(encode(*phi, "<|stop|>\n a", special), (Ids{257, 'a'}));
  EXPECT_EQ(encode(*other, "<|stop|>\n a", special), (Ids{257, '\n', ' ', 'a'}));
}

TEST(GgufTokenizer, NoTokenizerIsItsOwnError) {
  for (GgufBytes file : {GgufBytes().u32("x", 1), GgufBytes().string("tokenizer.ggml.model", "none"),
                         GgufBytes().string("tokenizer.ggml.model", "no_vocab")}) {
    const auto t = open_gguf(file.bytes());
    ASSERT_FALSE(t.ok());
    EXPECT_EQ(t.error().code, ErrorCode::kNotFound);
    EXPECT_NE(t.error().message.find("has no tokenizer"), std::string::npos);
  }
  const auto bert = open_gguf(GgufBytes().string("tokenizer.ggml.model", "bert").bytes());
  ASSERT_FALSE(bert.ok());
  EXPECT_EQ(bert.error().code, ErrorCode::kUnsupported);
  EXPECT_NE(bert.error().message.find("bert"), std::string::npos);
}

void expect_format_error(const GgufBytes& file, std::string_view what) {
  const auto t = open_gguf(file.bytes());
  ASSERT_FALSE(t.ok()) << what;
  EXPECT_EQ(t.error().code, ErrorCode::kFormat) << what;
  EXPECT_NE(t.error().message.find(what), std::string::npos) << t.error().message;
}

TEST(GgufTokenizer, LyingArraysAreRefused) {
  const auto base = [] { return GgufBytes().string("tokenizer.ggml.model", "gpt2").string("tokenizer.ggml.pre", "gpt-2"); };
  const std::vector<std::string> tokens = {"a", "b"};
  expect_format_error(base(), "tokens is missing");
  expect_format_error(base().strings("tokenizer.ggml.tokens", {}), "missing or empty");
  expect_format_error(base().i32s("tokenizer.ggml.tokens", {1}), "not an array of strings");
  expect_format_error(base().string("tokenizer.ggml.tokens", "a"), "not an array of strings");
  expect_format_error(base().strings("tokenizer.ggml.tokens", tokens), "merges is missing");
  expect_format_error(base().strings("tokenizer.ggml.tokens", tokens).i32s("tokenizer.ggml.merges", {1}),
                      "not an array of strings");
  expect_format_error(base().strings("tokenizer.ggml.tokens", tokens).strings("tokenizer.ggml.merges", {"ab"}),
                      "not two tokens");
  expect_format_error(base().strings("tokenizer.ggml.tokens", tokens).strings("tokenizer.ggml.merges", {"a "}),
                      "not two tokens");
  expect_format_error(base().strings("tokenizer.ggml.tokens", tokens).strings("tokenizer.ggml.merges", {""}),
                      "not two tokens");
  expect_format_error(base().strings("tokenizer.ggml.tokens", tokens).i32s("tokenizer.ggml.token_type", {1}),
                      "1 elements for 2");
  expect_format_error(base().strings("tokenizer.ggml.tokens", tokens).i32s("tokenizer.ggml.token_type", {1, 9}),
                      "token_type[1] is 9");
  expect_format_error(base().strings("tokenizer.ggml.tokens", tokens).i32s("tokenizer.ggml.token_type", {1, 6}),
                      "marked as a byte");
  expect_format_error(base().strings("tokenizer.ggml.tokens", tokens).string("tokenizer.ggml.bos_token_id", "1"),
                      "not an integer");
  expect_format_error(GgufBytes().u32("tokenizer.ggml.model", 1), "not a string");
  expect_format_error(spm({"a"})
                          .string("tokenizer.ggml.pre", "x")
                          .f32s("tokenizer.ggml.scores2", {})
                          .string("tokenizer.ggml.eos_token_id", ""),
                      "not an integer");
  const auto llama = [&] {
    return GgufBytes().string("tokenizer.ggml.model", "llama").strings("tokenizer.ggml.tokens", tokens);
  };
  expect_format_error(llama(), "scores is missing");
  expect_format_error(llama().f32s("tokenizer.ggml.scores", {1}), "1 elements for 2");
  expect_format_error(llama().f32s("tokenizer.ggml.scores", {1, NAN}), "not a number");
  expect_format_error(llama().strings("tokenizer.ggml.scores", {"1", "2"}), "not an array of numbers");
}

TEST(GgufTokenizer, SpecialIdsOutsideTheVocabularyAreIgnoredWithAWarning) {
  std::string warnings;
  GgufBytes file;
  file.string("tokenizer.ggml.model", "gpt2").string("tokenizer.ggml.pre", "gpt-2").strings("tokenizer.ggml.tokens", {"a"});
  file.strings("tokenizer.ggml.merges", {})
      .u32("tokenizer.ggml.bos_token_id", 4'000'000'000u)
      .u32("tokenizer.ggml.eos_token_id", 1);
  const auto t = must(open_gguf(file.bytes(), Log([&](LogLevel, std::string_view text) { warnings += text; })));
  ASSERT_TRUE(t);
  EXPECT_EQ(t->bos(), std::nullopt);
  EXPECT_EQ(t->eos(), std::nullopt);
  EXPECT_NE(warnings.find("bos_token_id"), std::string::npos);
  EXPECT_NE(warnings.find("eos_token_id"), std::string::npos);
  EXPECT_EQ(encode(*t, "ab", {.add_bos = true}), (Ids{0}));  // a byte without a token is dropped
}

TEST(GgufTokenizer, ACycleOfMergesEnds) {
  // "a b" and "b a" feed each other's symbols; every merge makes one symbol of two, whatever it is called.
  ByteLevelTokens tokens({"a b", "b a", "ab a", "b ab", "ab ab", "ba ba", "abab abab"});
  const auto t = must(open_gguf(tokens.gguf().bytes()));
  ASSERT_TRUE(t);
  std::string text;
  for (int i = 0; i < 50000; ++i) text += "ab";
  EXPECT_EQ(t->decode(encode(*t, text)).value(), text);
}

TEST(GgufTokenizer, EveryTruncationIsAnError) {
  const std::string bytes = ByteLevelTokens({"a b"}).gguf().bytes();
  for (size_t length = 0; length < bytes.size(); ++length) {
    const std::string part = bytes.substr(0, length);
    EXPECT_FALSE(open_gguf(part).ok()) << length;
  }
}

}  // namespace
}  // namespace lahar
