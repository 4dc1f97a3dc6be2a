// Tokenizers from tokenizer.json.
#include <gtest/gtest.h>

#include "tokenizer_fixture.h"

namespace lahar {
namespace {

using nlohmann::json;
using test::ByteLevelTokens;
using test::cut;
using test::encode;
using test::Ids;
using test::must;
using test::open_json;

const json kMetaspaceToSpace = {{"type", "Replace"}, {"pattern", {{"String", "\u2581"}}}, {"content", " "}};

// A BPE over characters with byte fallback, as Llama 2, Mistral and Gemma have it. Ids: 0 <unk>, 1 <s>, 2 </s>, then the
// bytes, then `pieces`; merges as pairs.
json character_bpe(const std::vector<std::string>& pieces, const std::vector<std::pair<std::string, std::string>>& merges) {
  json file;
  json vocab = {{"<unk>", 0}, {"<s>", 1}, {"</s>", 2}};
  for (int b = 0; b < 256; ++b) {
    char name[8];
    std::snprintf(name, sizeof name, "<0x%02X>", b);
    vocab[name] = 3 + b;
  }
  for (size_t i = 0; i < pieces.size(); ++i) vocab[pieces[i]] = 259 + i;
  file["model"] = {{"type", "BPE"}, {"unk_token", "<unk>"}, {"fuse_unk", true}, {"byte_fallback", true}, {"vocab", vocab}};
  file["model"]["merges"] = json::array();
  for (const auto& [left, right] : merges) file["model"]["merges"].push_back({left, right});
  file["added_tokens"] = json::array();
  for (const char* name : {"<unk>", "<s>", "</s>"})
    file["added_tokens"].push_back({{"id", vocab[name]}, {"content", name}, {"special", true}, {"normalized", false}});
  file["decoder"] = {{"type", "Sequence"},
                     {"decoders",
                      {kMetaspaceToSpace,
                       {{"type", "ByteFallback"}},
                       {{"type", "Fuse"}},
                       {{"type", "Strip"}, {"content", " "}, {"start", 1}, {"stop", 0}}}}};
  return file;
}

json with_prepend(json file) {
  file["normalizer"] = {{"type", "Sequence"},
                        {"normalizers",
                         {{{"type", "Prepend"}, {"prepend", "\u2581"}},
                          {{"type", "Replace"}, {"pattern", {{"String", " "}}}, {"content", "\u2581"}}}}};
  return file;
}

json with_metaspace(json file, const char* scheme, bool split) {
  file["pre_tokenizer"] = {{"type", "Metaspace"}, {"replacement", "\u2581"}, {"prepend_scheme", scheme}, {"split", split}};
  return file;
}

const std::vector<std::string> kPieces = {"\u2581", "a", "b", "\u2581a", "ab", "\u2581ab", "b\u2581"};
const std::vector<std::pair<std::string, std::string>> kMerges = {
    {"a", "b"}, {"\u2581", "ab"}, {"\u2581", "a"}, {"b", "\u2581"}};

TEST(JsonTokenizer, CharactersWithAPrependedSpace) {
  const auto t = must(open_json(with_prepend(character_bpe(kPieces, kMerges))));
  ASSERT_TRUE(t);
  EXPECT_EQ(cut(*t, "ab a"), " ab| a");
  EXPECT_EQ(cut(*t, "ba"), " |b|a");
  EXPECT_EQ(encode(*t, "\u00FC"), (Ids{259, 3 + 0xC3, 3 + 0xBC}));
  EXPECT_EQ(encode(*t, "\xFF"), (Ids{259, 3 + 0xFF}));
  EXPECT_EQ(encode(*t, "<0x41>").size(), 7u);  // spelled, not byte 0x41
  for (const std::string text : {"ab a", " ab", "  a\u00FC\n", ""}) EXPECT_EQ(t->decode(encode(*t, text)).value(), text);
  EXPECT_EQ(t->decode(Ids{1, 262, 262}, {.skip_special = true}).value(), "a a");
  EXPECT_EQ(t->unknown(), 0);
}

TEST(JsonTokenizer, MetaspacePrependsAlwaysFirstOrNever) {
  const json file = character_bpe(kPieces, kMerges);
  const EncodeOptions special{.parse_special = true};
  const auto always = must(open_json(with_metaspace(file, "always", false)));
  const auto first = must(open_json(with_metaspace(file, "first", false)));
  const auto never = must(open_json(with_metaspace(file, "never", false)));
  ASSERT_TRUE(always && first && never);
  EXPECT_EQ(cut(*always, "a</s>a", special), " a|</s>| a");
  EXPECT_EQ(cut(*first, "a</s>a", special), " a|</s>|a");
  EXPECT_EQ(cut(*never, "a</s>a", special), "a|</s>|a");
  EXPECT_EQ(cut(*first, "</s>a", special), "</s>|a");
  EXPECT_EQ(cut(*always, " a"), " a");  // one is there already
  // Without a split, pieces may reach over a space.
  EXPECT_EQ(cut(*always, "b b"), " |b |b");
  const auto split = must(open_json(with_metaspace(file, "always", true)));
  ASSERT_TRUE(split);
  EXPECT_EQ(cut(*split, "b b"), " |b| |b");
}

TEST(JsonTokenizer, UnknownCharactersFuseWithoutByteFallback) {
  json file = with_prepend(character_bpe(kPieces, kMerges));
  file["model"]["byte_fallback"] = false;
  const auto fused = must(open_json(file));
  ASSERT_TRUE(fused);
  EXPECT_EQ(encode(*fused, "xyab"), (Ids{259, 0, 263}));
  file["model"]["fuse_unk"] = false;
  const auto single = must(open_json(file));
  ASSERT_TRUE(single);
  EXPECT_EQ(encode(*single, "xyab"), (Ids{259, 0, 0, 263}));
}

TEST(JsonTokenizer, MergesAsStringsOrAsPairsAreTheSame) {
  json file = ByteLevelTokens({"a b", "ab c"}).json();
  const auto strings = must(open_json(file));
  for (auto& merge : file["model"]["merges"]) {
    const std::string text = merge;
    merge = {text.substr(0, text.find(' ')), text.substr(text.find(' ') + 1)};
  }
  const auto pairs = must(open_json(file));
  ASSERT_TRUE(strings && pairs);
  for (const char* text : {"abc", "ab abcab", "c ab"}) EXPECT_EQ(encode(*strings, text), encode(*pairs, text));
  EXPECT_EQ(cut(*pairs, "abcab"), "abc|ab");
}

json split_at(json pattern, const char* behavior, bool invert = false) {
  json file = ByteLevelTokens({"a a", "- -", "a -", "- a", "a a-", "aa -", "- aa"}).json();
  file["pre_tokenizer"] = {{"type", "Sequence"},
                           {"pretokenizers",
                            {{{"type", "Split"}, {"pattern", pattern}, {"behavior", behavior}, {"invert", invert}},
                             {{"type", "ByteLevel"}, {"add_prefix_space", false}, {"use_regex", false}}}}};
  return file;
}

TEST(JsonTokenizer, SplitsBehaveAsNamed) {
  const json dash = {{"String", "-"}};
  const auto cut_with = [](const json& file, const char* text) {
    const auto t = must(open_json(file));
    return t ? cut(*t, text) : "";
  };
  EXPECT_EQ(cut_with(split_at(dash, "Isolated"), "aa--aa"), "aa|-|-|aa");
  EXPECT_EQ(cut_with(split_at(dash, "Contiguous"), "aa--aa"), "aa|--|aa");
  EXPECT_EQ(cut_with(split_at(dash, "Removed"), "aa--aa"), "aa|aa");
  EXPECT_EQ(cut_with(split_at(dash, "MergedWithPrevious"), "aa--aa"), "aa-|-|aa");
  EXPECT_EQ(cut_with(split_at(dash, "MergedWithNext"), "aa--aa"), "aa|-|-aa");
  EXPECT_EQ(cut_with(split_at({{"Regex", "a+"}}, "Removed", true), "aa--aa"), "aa|aa");
  EXPECT_EQ(cut_with(split_at({{"Regex", "\\-{2}"}}, "Isolated"), "aa--aa"), "aa|--|aa");
}

TEST(JsonTokenizer, DigitsAndPunctuationAfterByteLevel) {
  // Falcon's order: the steps after ByteLevel see the alphabet, and the pieces are bytes again in the end.
  json file = ByteLevelTokens({"1 2", "12 3", "123 4", "! !", "\u0120 a"}).json();
  file["pre_tokenizer"] = {{"type", "Sequence"},
                           {"pretokenizers",
                            {{{"type", "Punctuation"}, {"behavior", "Contiguous"}},
                             {{"type", "ByteLevel"}, {"add_prefix_space", false}},
                             {{"type", "Digits"}, {"individual_digits", false}},
                             {{"type", "Split"}, {"pattern", {{"Regex", "[0-9][0-9][0-9]"}}}, {"behavior", "Isolated"}}}}};
  const auto t = must(open_json(file));
  ASSERT_TRUE(t);
  EXPECT_EQ(cut(*t, "x1234!! a"), "x|123|4|!!| a");
  const std::string text = "\u00FC \u00B2 \xFF\n12";
  EXPECT_EQ(t->decode(encode(*t, text)).value(), text);
  file["pre_tokenizer"]["pretokenizers"][2]["individual_digits"] = true;
  const auto single = must(open_json(file));
  ASSERT_TRUE(single);
  EXPECT_EQ(cut(*single, "1234"), "1|2|3|4");
}

TEST(JsonTokenizer, PrefixSpaceOfByteLevel) {
  json file = ByteLevelTokens({"\u0120 a"}).json();
  file["pre_tokenizer"]["add_prefix_space"] = true;
  const auto t = must(open_json(file));
  ASSERT_TRUE(t);
  EXPECT_EQ(cut(*t, "a"), " a");
  EXPECT_EQ(cut(*t, " a"), " a");
}

TEST(JsonTokenizer, WholeWordsWhereMergesAreIgnored) {
  json file = ByteLevelTokens().json();
  file["model"]["vocab"]["\u0120abc"] = 259;
  file["model"]["ignore_merges"] = true;
  const auto t = must(open_json(file));
  ASSERT_TRUE(t);
  EXPECT_EQ(cut(*t, "x abc abcd"), "x| abc| |a|b|c|d");
}

TEST(JsonTokenizer, AddedTokensStripAndStandAlone) {
  json file = ByteLevelTokens().json();
  auto& added = file["added_tokens"];
  const auto add = [&](int id, const char* name, json flags) {
    flags.update({{"id", id}, {"content", name}});
    added.push_back(flags);
  };
  add(260, "<l>", {{"lstrip", true}, {"normalized", false}});
  add(261, "<r>", {{"rstrip", true}, {"normalized", false}});
  add(262, "word", {{"single_word", true}, {"normalized", false}});
  add(263, "<long>er", {{"normalized", false}});
  add(264, "<long>", {{"normalized", false}});
  const auto t = must(open_json(file));
  ASSERT_TRUE(t);
  EXPECT_EQ(encode(*t, "a \n<l> b"), (Ids{'a', 260, ' ', 'b'}));
  EXPECT_EQ(encode(*t, "a <r>\u3000\n b"), (Ids{'a', ' ', 261, 'b'}));
  EXPECT_EQ(encode(*t, "word swords word"), (Ids{262, ' ', 's', 'w', 'o', 'r', 'd', 's', ' ', 262}));
  EXPECT_EQ(encode(*t, "<long>er<long>e"), (Ids{263, 264, 'e'}));
}

TEST(JsonTokenizer, NormalizedAddedTokensAreFoundAfterTheNormalizer) {
  json file = ByteLevelTokens().json();
  file["normalizer"] = {{"type", "NFC"}};
  file["added_tokens"].push_back({{"id", 259}, {"content", "\u00FC!"}, {"normalized", true}});
  file["added_tokens"].push_back({{"id", 260}, {"content", "\u00F6!"}, {"normalized", false}});
  const auto t = must(open_json(file));
  ASSERT_TRUE(t);
  EXPECT_EQ(encode(*t, "u\u0308!"), (Ids{259}));
  EXPECT_EQ(encode(*t, "o\u0308!"), (Ids{0xC3, 0xB6, '!'}));
  EXPECT_EQ(encode(*t, "\u00F6!"), (Ids{260}));
}

TEST(JsonTokenizer, BosFromThePostProcessor) {
  json file = ByteLevelTokens().json();
  file["post_processor"] = {
      {"type", "Sequence"},
      {"processors",
       {{{"type", "ByteLevel"}},
        {{"type", "TemplateProcessing"},
         {"single", {{{"SpecialToken", {{"id", "<|start|>"}, {"type_id", 0}}}}, {{"Sequence", {{"id", "A"}}}}}}}}}};
  const auto t = must(open_json(file));
  ASSERT_TRUE(t);
  EXPECT_EQ(t->bos(), 256);
  EXPECT_TRUE(t->add_bos_default());
  const auto refused = must(open_json(file, {{"add_bos_token", false}, {"tokenizer_class", "LlamaTokenizerFast"}}));
  ASSERT_TRUE(refused);
  EXPECT_FALSE(refused->add_bos_default());
  const auto asked = must(open_json(ByteLevelTokens().json(), {{"add_bos_token", true}, {"bos_token", "<|start|>"}}));
  ASSERT_TRUE(asked);
  EXPECT_TRUE(asked->add_bos_default());
}

TEST(JsonTokenizer, EndsFromTheGenerationConfig) {
  const json file = ByteLevelTokens().json();
  const auto list = must(open_json(file, {}, {{"eos_token_id", {257, 258, 9'999'999, -1, "x"}}}));
  ASSERT_TRUE(list);
  EXPECT_EQ(Ids(list->end_of_generation().begin(), list->end_of_generation().end()), (Ids{257, 258}));
  EXPECT_EQ(list->eos(), 257);
  const auto one = must(open_json(file, {{"eos_token", "<|stop|>"}}, {{"eos_token_id", 258}}));
  ASSERT_TRUE(one);
  EXPECT_EQ(Ids(one->end_of_generation().begin(), one->end_of_generation().end()), (Ids{257, 258}));
  EXPECT_EQ(one->eos(), 257);
}

TEST(JsonTokenizer, UnigramTakesTheBestCut) {
  json file = character_bpe({}, {});
  file["added_tokens"] = {{{"id", 0}, {"content", "<unk>"}, {"special", true}}};
  file["model"] = {{"type", "Unigram"}, {"unk_id", 0}};
  const std::vector<std::pair<const char*, double>> pieces = {{"<unk>", 0}, {"\u2581", -3}, {"a", -2},        {"b", -2},
                                                              {"ab", -3},   {"bab", -3.5},  {"\u2581a", -3.5}};
  for (const auto& [text, score] : pieces) file["model"]["vocab"].push_back(json::array({text, score}));
  file = with_metaspace(file, "always", true);
  const auto t = must(open_json(file));
  ASSERT_TRUE(t);
  EXPECT_EQ(cut(*t, "abab"), " a|bab");  // -7.0, before " |ab|ab" at -9
  EXPECT_EQ(cut(*t, "ab"), " a|b");      // -5.5, before " |ab" at -6
  EXPECT_EQ(encode(*t, "axyb"), (Ids{6, 0, 3}));
  file["model"]["byte_fallback"] = true;
  file["model"]["vocab"].push_back(json::array({"<0x78>", -20.0}));
  const auto bytes = must(open_json(file));
  ASSERT_TRUE(bytes);
  EXPECT_EQ(encode(*bytes, "axb"), (Ids{6, 7, 3}));
}

TEST(JsonTokenizer, WhatIsNotBuiltHereIsNamed) {
  const auto expect_unsupported = [](const json& file, std::string_view name) {
    const auto t = open_json(file);
    ASSERT_FALSE(t.ok()) << name;
    EXPECT_EQ(t.error().code, ErrorCode::kUnsupported) << t.error().message;
    EXPECT_NE(t.error().message.find(name), std::string::npos) << t.error().message;
  };
  const auto changed = [](const char* pointer, json value) {
    json file = ByteLevelTokens().json();
    file[json::json_pointer(pointer)] = std::move(value);
    return file;
  };
  expect_unsupported(changed("/model/type", "WordPiece"), "WordPiece");
  expect_unsupported(changed("/normalizer", {{"type", "BertNormalizer"}}), "BertNormalizer");
  expect_unsupported(changed("/pre_tokenizer/type", "UnicodeScripts"), "UnicodeScripts");
  expect_unsupported(changed("/decoder/type", "CTC"), "CTC");
  expect_unsupported(changed("/model/end_of_word_suffix", "</w>"), "end_of_word_suffix");
}

}  // namespace
}  // namespace lahar
