#include "text/pretokenize.h"

#include <gtest/gtest.h>

namespace lahar {
namespace {

// The pieces of `text`, with | between.
std::string cut(std::string_view name, const std::string& text) {
  const auto named = named_pre_tokenizer(name);
  if (!named) return "no pre-tokenizer of that name";
  PreTokenizer pre_tokenizer;
  for (const auto pattern : named->patterns) {
    auto regex = Regex::compile(pattern);
    EXPECT_TRUE(regex.ok()) << regex.error().message;
    if (regex.ok()) pre_tokenizer.add(PreTokenizer::Split{std::move(*regex)});
  }
  RegexScratch scratch;
  PreTokenizer::Pieces pieces;
  EXPECT_TRUE(pre_tokenizer.apply(text, true, scratch, pieces).ok());
  EXPECT_EQ(pieces.text, text);
  std::string out;
  for (const TextPart& part : pieces.parts)
    out.append(out.empty() ? "" : "|").append(text, part.begin, part.end - part.begin);
  return out;
}

TEST(PreTokenize, EveryNamedPatternKeepsAllBytes) {
  const std::string text("a'S 12345 \u00FC\u0308b  \n\n\tx!?\xFF\xC3 \u65E5\u672C\u3000 \0end ", 40);
  for (const char* name :
       {"default",    "gpt-2",      "llama-bpe", "qwen2",     "qwen35",   "deepseek-llm", "deepseek-coder", "deepseek-v3",
        "falcon",     "starcoder",  "refact",    "command-r", "smollm",   "tekken",       "gpt-4o",         "kimi-k2",
        "bailingmoe", "seed-coder", "bloom",     "viking",    "superbpe", "olmo",         "dbrx",           "smaug-bpe"}) {
    std::string joined = cut(name, text);
    std::erase(joined, '|');
    EXPECT_EQ(joined, text) << name;
  }
  EXPECT_EQ(named_pre_tokenizer("nothing"), std::nullopt);
}

TEST(PreTokenize, NumbersAreCutAsTheModelsLearnedThem) {
  EXPECT_EQ(cut("gpt-2", "x 12345"), "x| 12345");
  EXPECT_EQ(cut("llama-bpe", "x 12345"), "x| |123|45");
  EXPECT_EQ(cut("qwen2", "x 12345"), "x| |1|2|3|4|5");
  EXPECT_EQ(cut("starcoder", "x 12345"), "x| |1|2|3|4|5");
  EXPECT_EQ(cut("tekken", "x 12345"), "x| |1|2|3|4|5");
  EXPECT_EQ(cut("falcon", "x 12345"), "x| |123|45");
  EXPECT_EQ(cut("deepseek-llm", "x 12345"), "x| |12345");
  EXPECT_EQ(cut("superbpe", "1234567"), "1|234|567");
}

TEST(PreTokenize, ContractionsAndCase) {
  EXPECT_EQ(cut("gpt-2", "it's IT'S"), "it|'s| IT|'|S");
  EXPECT_EQ(cut("llama-bpe", "it's IT'S"), "it|'s| IT|'S");
  EXPECT_EQ(cut("tekken", "helloWorld HTTPServer"), "hello|World| HTTPServer");
  EXPECT_EQ(cut("gpt-4o", "it's IT'S"), "it's| IT'S");
  EXPECT_EQ(cut("kimi-k2", "ab\u65E5\u672Ccd"), "ab|\u65E5\u672C|cd");
}

TEST(PreTokenize, SpacesGoWithWhatFollows) {
  EXPECT_EQ(cut("gpt-2", "a   b \n c"), "a|  | b| \n| c");
  EXPECT_EQ(cut("llama-bpe", "a   b \n c"), "a|  | b| \n| c");
  EXPECT_EQ(cut("llama-bpe", "a\n\n  b!\n"), "a|\n\n| | b|!\n");
  EXPECT_EQ(cut("deepseek-llm", "a  \nb   "), "a|  |\n|b|   ");
  // U+180E is no white space, U+0085 is.
  EXPECT_EQ(cut("gpt-2", "\u180E\u180Ea"), "\u180E\u180E|a");
  EXPECT_EQ(cut("gpt-2", "\u0085\u0085a"), "\u0085|\u0085|a");
}

TEST(PreTokenize, LongRunsDoNotBacktrackWithoutEnd) {
  const std::string spaces(300'000, ' '), letters(300'000, 'A'), lines(300'000, '\n');
  for (const char* name : {"default", "gpt-2", "llama-bpe", "qwen2", "deepseek-llm", "deepseek-v3", "deepseek-coder",
                           "falcon", "starcoder", "tekken", "gpt-4o", "kimi-k2"}) {
    for (const std::string& text : {spaces + "x", letters + "!", lines + "x", spaces + "\n" + spaces + "x"}) {
      std::string joined = cut(name, text);
      std::erase(joined, '|');
      EXPECT_EQ(joined.size(), text.size()) << name;
    }
  }
}

}  // namespace
}  // namespace lahar
