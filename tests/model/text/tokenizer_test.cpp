// What a Tokenizer does with texts, whatever file it came from.
#include "text/tokenizer.h"

#include <gtest/gtest.h>

#include <random>
#include <thread>

#include "tokenizer_fixture.h"

namespace lahar {
namespace {

using test::ByteLevelTokens;
using test::cut;
using test::encode;
using test::Ids;
using test::must;
using test::open_gguf;
using test::open_json;

// Both sources of one byte-level tokenizer.
std::vector<std::unique_ptr<Tokenizer>> byte_level(const std::vector<std::string>& merges = {}) {
  const ByteLevelTokens tokens(merges);
  std::vector<std::unique_ptr<Tokenizer>> all;
  all.push_back(must(open_gguf(tokens.gguf().bytes())));
  all.push_back(must(open_json(tokens.json(), {{"bos_token", "<|start|>"}, {"eos_token", {{"content", "<|stop|>"}}}})));
  return all;
}

TEST(Tokenizer, MergesByRankLeftmostFirst) {
  for (const auto& t : byte_level({"b c", "a b", "a bc", "\u0120 a"})) {
    ASSERT_TRUE(t);
    EXPECT_EQ(cut(*t, "abc"), "abc");  // bc first, though ab stands before it
    EXPECT_EQ(cut(*t, "abab"), "ab|ab");
    EXPECT_EQ(cut(*t, "x abc"), "x| |abc");
    EXPECT_EQ(cut(*t, "x ad"), "x| a|d");
    EXPECT_EQ(cut(*t, ""), "");
  }
}

TEST(Tokenizer, SpecialTokensOnlyWhereAsked) {
  for (const auto& t : byte_level()) {
    ASSERT_TRUE(t);
    EXPECT_EQ(encode(*t, "a<|stop|>b", {.parse_special = true}), (Ids{'a', 257, 'b'}));
    EXPECT_EQ(encode(*t, "<|stop|>"), (Ids{'<', '|', 's', 't', 'o', 'p', '|', '>'}));
    // User-defined tokens are ordinary vocabulary.
    EXPECT_EQ(encode(*t, "a<tool>"), (Ids{'a', 258}));
    EXPECT_FALSE(t->is_special(258));
    EXPECT_TRUE(t->is_special(257));
    EXPECT_FALSE(t->is_special(-1));
    EXPECT_FALSE(t->is_special(1 << 30));
  }
}

TEST(Tokenizer, BosOnRequest) {
  for (const auto& t : byte_level()) {
    ASSERT_TRUE(t);
    EXPECT_EQ(encode(*t, "a", {.add_bos = true}), (Ids{256, 'a'}));
    EXPECT_EQ(encode(*t, "", {.add_bos = true}), (Ids{256}));
    EXPECT_EQ(t->bos(), 256);
    EXPECT_EQ(t->eos(), 257);
    EXPECT_EQ(Ids(t->end_of_generation().begin(), t->end_of_generation().end()), (Ids{257}));
    EXPECT_FALSE(t->add_bos_default());
  }
}

TEST(Tokenizer, UntrustedTextNeverBecomesSpecial) {
  for (const auto& t : byte_level({"< |", "| >"})) {
    ASSERT_TRUE(t);
    const Ids spelled = encode(*t, "<|stop|>");
    EXPECT_EQ(std::count(spelled.begin(), spelled.end(), 257), 0);
    EXPECT_EQ(encode(*t, {{"<|stop|>", true}}), (Ids{257}));
    EXPECT_EQ(encode(*t, {{"<|stop|>", false}}), spelled);
    // A token that is only partly trusted is none, wherever the border lies.
    const std::string name = "<|stop|>";
    for (size_t i = 1; i < name.size(); ++i) {
      EXPECT_EQ(encode(*t, {{name.substr(0, i), true}, {name.substr(i), false}}), spelled) << i;
      EXPECT_EQ(encode(*t, {{name.substr(0, i), false}, {name.substr(i), true}}), spelled) << i;
      // Two trusted parts side by side are one text.
      EXPECT_EQ(encode(*t, {{name.substr(0, i), true}, {name.substr(i), true}}), (Ids{257})) << i;
      EXPECT_EQ(encode(*t, {{name.substr(0, i), true}, {"", false}, {name.substr(i), true}}), (Ids{257})) << i;
    }
    // An untrusted part in the middle of a template.
    Ids expected{256};
    expected.insert(expected.end(), spelled.begin(), spelled.end());
    expected.push_back(257);
    EXPECT_EQ(encode(*t, {{"<|start|>", true}, {"<|stop|>", false}, {"<|stop|>", true}}), expected);
    // User-defined tokens do not depend on trust.
    EXPECT_EQ(encode(*t, {{"<tool>", false}}), (Ids{258}));
  }
}

TEST(Tokenizer, SegmentsMergeAsOneText) {
  for (const auto& t : byte_level({"a b", "\u0120 ab"})) {
    ASSERT_TRUE(t);
    const Ids whole = encode(*t, "x ab ab", {.parse_special = true});
    const std::string text = "x ab ab";
    for (size_t i = 0; i <= text.size(); ++i)
      EXPECT_EQ(encode(*t, {{std::string_view(text).substr(0, i), true}, {std::string_view(text).substr(i), false}}), whole)
          << i;
    EXPECT_EQ(t->encode(std::vector<TextSegment>()).value(), Ids());
  }
}

TEST(Tokenizer, AMergeCannotSpellASpecialToken) {
  // The merges lead from its letters to a control token's spelling; the last one must be left out.
  ByteLevelTokens tokens({"e n", "en d"});
  tokens.types.back() = 3;
  std::string warnings;
  const auto t = must(open_gguf(tokens.gguf().bytes(), Log([&](LogLevel, std::string_view text) { warnings += text; })));
  ASSERT_TRUE(t);
  EXPECT_EQ(cut(*t, "end"), "en|d");
  EXPECT_NE(warnings.find("1 of 2 merges"), std::string::npos) << warnings;
}

TEST(Tokenizer, AnyBytesComeBack) {
  std::mt19937 random(11);
  for (const auto& t : byte_level({"a b", "\u00C3 \u00BC", "\u0120 \u0120"})) {
    ASSERT_TRUE(t);
    std::vector<std::string> texts = {std::string("\0", 1),
                                      std::string("a\0b\0\0", 5),
                                      "\xFF\xFE",
                                      "\xC3",
                                      "\xE2\x82",
                                      "a\x80"
                                      "b \xF0\x9F",
                                      "\xED\xA0\x80",
                                      "\u00FC \U0001F999\r\n\t  x"};
    for (int i = 0; i < 300; ++i) {
      std::string text;
      for (uint32_t n = random() % 40; n > 0; --n)
        text += static_cast<char>(random() % 3 ? random() : " a\n\xC3\xBC"[random() % 5]);
      texts.push_back(text);
    }
    for (const std::string& text : texts) EXPECT_EQ(t->decode(encode(*t, text)).value(), text);
  }
}

TEST(Tokenizer, LongTextsTakeNearlyLinearTime) {
  // A quadratic merge loop would need hours here, and the test's own time limit ends it.
  std::vector<std::string> merges;
  std::string run = "a", blank(1 << 20, ' ');
  blank += 'x';
  for (int i = 0; i < 6; ++i, run += run) merges.push_back(run + " " + run);
  for (const auto& t : byte_level(merges)) {
    ASSERT_TRUE(t);
    EXPECT_EQ(encode(*t, std::string(1 << 20, 'a')).size(), size_t{1} << 14);
    EXPECT_EQ(encode(*t, blank).size(), (size_t{1} << 20) + 1);
    EXPECT_EQ(encode(*t, std::string(1 << 20, '\xFF')).size(), size_t{1} << 20);
  }
}

TEST(Tokenizer, DecodeRefusesIdsOutsideTheVocabulary) {
  for (const auto& t : byte_level()) {
    ASSERT_TRUE(t);
    for (const int32_t id : {-1, 259, INT32_MAX, INT32_MIN}) {
      const auto text = t->decode(Ids{'a', id});
      ASSERT_FALSE(text.ok());
      EXPECT_EQ(text.error().code, ErrorCode::kInvalidArgument);
      EXPECT_EQ(t->piece(id), "");
    }
    EXPECT_EQ(t->decode(Ids{256, 'a', 257}).value(), "<|start|>a<|stop|>");
    EXPECT_EQ(t->decode(Ids{256, 'a', 257}, {.skip_special = true}).value(), "a");
    EXPECT_EQ(t->id("<tool>"), 258);
    EXPECT_EQ(t->id("\u0120"), ' ');
    EXPECT_EQ(t->id("nothing like it"), std::nullopt);
  }
}

TEST(Tokenizer, ManyThreadsAtOnce) {
  const auto all = byte_level({"a b", "\u0120 ab"});
  for (const auto& t : all) {
    ASSERT_TRUE(t);
    const std::string text = "ab ab<|stop|> \u00FC 123 it's";
    const Ids expected = encode(*t, text, {.parse_special = true});
    std::vector<std::thread> threads;
    std::atomic<int> wrong = 0;
    for (int i = 0; i < 4; ++i)
      threads.emplace_back([&] {
        for (int n = 0; n < 200; ++n) {
          const auto ids = t->encode(text, {.parse_special = true});
          if (!ids.ok() || *ids != expected) ++wrong;
        }
      });
    for (auto& thread : threads) thread.join();
    EXPECT_EQ(wrong, 0);
  }
}

}  // namespace
}  // namespace lahar
