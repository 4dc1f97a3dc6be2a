// Damaged, lying and foreign tokenizer.json files: an error each, and never much memory.
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <new>
#include <set>

#include "tokenizer_fixture.h"

namespace {

std::atomic<size_t> live = 0, peak = 0;

// The size stands in front of each block.
constexpr size_t kHead = alignof(std::max_align_t);

void* counted_new(size_t size) noexcept {
  void* block = std::malloc(size + kHead);
  if (!block) return nullptr;
  *static_cast<size_t*>(block) = size;
  const size_t now = live += size;
  size_t before = peak;
  while (before < now && !peak.compare_exchange_weak(before, now)) {}
  return static_cast<char*>(block) + kHead;
}

void counted_delete(void* memory) {
  if (!memory) return;
  char* block = static_cast<char*>(memory) - kHead;
  live -= *reinterpret_cast<size_t*>(block);
  std::free(block);
}

}  // namespace

void* operator new(size_t size) {
  if (void* memory = counted_new(size)) return memory;
  throw std::bad_alloc();
}
void* operator new[](size_t size) { return operator new(size); }
void* operator new(size_t size, const std::nothrow_t&) noexcept { return counted_new(size); }
void* operator new[](size_t size, const std::nothrow_t&) noexcept { return counted_new(size); }
void operator delete(void* memory) noexcept { counted_delete(memory); }
void operator delete[](void* memory) noexcept { counted_delete(memory); }
void operator delete(void* memory, const std::nothrow_t&) noexcept { counted_delete(memory); }
void operator delete[](void* memory, const std::nothrow_t&) noexcept { counted_delete(memory); }
void operator delete(void* memory, size_t) noexcept { counted_delete(memory); }
void operator delete[](void* memory, size_t) noexcept { counted_delete(memory); }

namespace lahar {
namespace {

using nlohmann::json;
using test::ByteLevelTokens;

// Opens `text` and checks what any file is held to: an error has a code and one line, the peak stays in bounds.
Result<std::unique_ptr<Tokenizer>> open_text(const std::string& text) {
  const json empty = json::object();
  const size_t before = live;
  peak = before;
  auto result = Tokenizer::from_tokenizer_json(text, empty, empty);
  EXPECT_LE(peak - before, 20 * text.size() + (64u << 20)) << text.substr(0, 80);
  if (!result) {
    EXPECT_FALSE(result.error().message.empty());
    EXPECT_EQ(result.error().message.find('\n'), std::string::npos) << result.error().message;
  }
  return result;
}

void expect_refused(const std::string& text, ErrorCode code = ErrorCode::kFormat) {
  const auto result = open_text(text);
  ASSERT_FALSE(result.ok()) << text.substr(0, 200);
  EXPECT_EQ(result.error().code, code) << result.error().message;
}

json small() {
  json file = ByteLevelTokens({"a b", "ab c"}).json();
  file["version"] = "1.0";
  file["normalizer"] = {{"type", "NFC"}};
  file["post_processor"] = nullptr;
  return file;
}

TEST(MalformedTokenizer, EveryTruncationIsAnError) {
  const std::string text = small().dump();
  ASSERT_TRUE(open_text(text).ok());
  for (size_t length = 0; length < text.size(); ++length) expect_refused(text.substr(0, length));
}

TEST(MalformedTokenizer, EveryChangedByteIsAnErrorOrWorks) {
  const std::string text = small().dump();
  for (const char change : {'"', '{', ']', '9', '-', 'x', '\0', '\xFF'}) {
    for (size_t at = 0; at < text.size(); ++at) {
      std::string changed = text;
      changed[at] = change;
      const auto result = open_text(changed);
      if (result.ok()) { EXPECT_TRUE((*result)->encode("ab abc \xFF<|stop|>", {.parse_special = true}).ok()); }
    }
  }
}

// Every value of the file, replaced by one of each type.
TEST(MalformedTokenizer, WrongTypesNeverCrash) {
  const json file = small();
  std::set<std::string> paths;
  const json flat = file.flatten();
  for (const auto& [pointer, value] : flat.items()) {
    // The vocabulary's entries are all alike.
    if (pointer.starts_with("/model/vocab/") && pointer != "/model/vocab/a") continue;
    for (std::string path = pointer; !path.empty(); path.erase(path.rfind('/'))) paths.insert(path);
  }
  size_t refused = 0, tried = 0;
  for (const std::string& path : paths) {
    for (const json& other :
         {json(nullptr), json(true), json(-1), json(1e300), json("x"), json::array(), json::object(), json({1, "a"})}) {
      json changed = file;
      changed[json::json_pointer(path)] = other;
      ++tried;
      const auto result = open_text(changed.dump());
      if (result.ok()) {
        EXPECT_TRUE((*result)->encode("ab abc", {}).ok());
      } else {
        ++refused;
      }
    }
  }
  EXPECT_GT(refused, tried / 2);
}

TEST(MalformedTokenizer, ForeignTextsAreRefused) {
  for (const char* text : {"",
                           " ",
                           "null",
                           "1",
                           "\"x\"",
                           "[]",
                           "{}",
                           "[{\"model\":{}}]",
                           "{\"model\":1}",
                           "{\"model\":{}}",
                           "\xEF\xBB\xBF",
                           "GGUF\x03",
                           "{\"model\":{\"type\":\"BPE\"}}",
                           "{\"model\":{\"type\":\"BPE\",\"vocab\":{},\"merges\":[]}}",
                           "{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0}}}",
                           "{\"model\":{\"type\":\"BPE\",\"vocab\":[],\"merges\":[]}}",
                           "{\"model\":{\"type\":\"Unigram\",\"vocab\":{\"a\":0}}}",
                           "{\"model\":{\"type\":\"Unigram\",\"vocab\":[[\"a\"]]}}",
                           "{\"model\":{\"type\":\"Unigram\",\"vocab\":[[\"a\",0,1]]}}",
                           "{\"model\":{\"type\":\"Unigram\",\"vocab\":[[1,\"a\"]]}}",
                           "{\"model\":{\"type\":\"Unigram\",\"unk_id\":1,\"vocab\":[[\"a\",0]]}}"})
    EXPECT_FALSE(open_text(text).ok()) << text;
  expect_refused("{\"model\":{\"type\":\"Unigram\",\"vocab\":[[\"a\",1e999]]}}");
}

std::string bpe(const std::string& vocab, const std::string& merges, const std::string& more = "") {
  std::string out = "{\"model\":{\"type\":\"BPE\",\"vocab\":{";
  return out.append(vocab).append("},\"merges\":[").append(merges).append("]}").append(more).append("}");
}

TEST(MalformedTokenizer, IdsThatLie) {
  EXPECT_TRUE(open_text(bpe("\"a\":0,\"b\":7", "")).ok());  // holes are allowed
  expect_refused(bpe("\"a\":-1", ""));
  expect_refused(bpe("\"a\":2147483647", ""));
  expect_refused(bpe("\"a\":9223372036854775807", ""));
  expect_refused(bpe("\"a\":18446744073709551615", ""));
  expect_refused(bpe("\"a\":1e6", ""));
  expect_refused(bpe("\"a\":\"0\"", ""));
  expect_refused(bpe("\"a\":0", "", ",\"added_tokens\":[{\"id\":-1,\"content\":\"x\"}]"));
  expect_refused(bpe("\"a\":0", "", ",\"added_tokens\":[{\"id\":18446744073709551615,\"content\":\"x\"}]"));
  expect_refused(bpe("\"a\":0", "", ",\"added_tokens\":[{\"id\":1e3,\"content\":\"x\"}]"));
  const auto holes = open_text(bpe("\"a\":0,\"b\":1000000", ""));
  ASSERT_TRUE(holes.ok());
  EXPECT_EQ((*holes)->vocab_size(), 1000001);
  EXPECT_EQ((*holes)->piece(500), "");
  EXPECT_EQ((*holes)->decode(test::Ids{0, 500, 1000000}).value(), "ab");
}

TEST(MalformedTokenizer, MergesThatLie) {
  expect_refused(bpe("\"a\":0", "\"a\""));
  expect_refused(bpe("\"a\":0", "\"a b c\""));
  expect_refused(bpe("\"a\":0", "\" a\""));
  expect_refused(bpe("\"a\":0", "[\"a\"]"));
  expect_refused(bpe("\"a\":0", "[\"a\",\"b\",\"c\"]"));
  expect_refused(bpe("\"a\":0", "[\"a\",1]"));
  expect_refused(bpe("\"a\":0", "[\"\",\"a\"]"));
  expect_refused(bpe("\"a\":0", "[[\"a\",\"b\"]]"));
  expect_refused(bpe("\"a\":0", "1"));
  // Merges of what is not there are left out, cycles end.
  const auto cycle =
      open_text(bpe("\"a\":0,\"b\":1,\"ab\":2,\"ba\":3,\"aba\":4", "\"a b\",\"b a\",\"ab a\",\"a ba\",\"x y\",\"ab ab\""));
  ASSERT_TRUE(cycle.ok());
  std::string text;
  for (int i = 0; i < 100000; ++i) text += "ab";
  EXPECT_EQ((*cycle)->decode((*cycle)->encode(text).value()).value(), text);
}

TEST(MalformedTokenizer, DeepAndWideFilesStayInBounds) {
  const auto repeat = [](const std::string& part, size_t count) {
    std::string out;
    out.reserve(part.size() * count);
    for (size_t i = 0; i < count; ++i) out += part;
    return out;
  };
  EXPECT_FALSE(open_text(repeat("[", 1'000'000)).ok());
  EXPECT_FALSE(open_text(repeat("{\"a\":", 1'000'000)).ok());
  EXPECT_FALSE(open_text("{\"a\":" + repeat("[", 100'000) + repeat("]", 100'000) + "}").ok());
  EXPECT_FALSE(open_text("{\"added_tokens\":[" + repeat("[],", 2'000'000) + "1]}").ok());
  EXPECT_FALSE(open_text("{\"added_tokens\":[" + repeat("{\"a\":[]},", 600'000) + "1]}").ok());
  EXPECT_FALSE(open_text(bpe("\"a\":0", repeat("\"a b\",", 1'000'000) + "1")).ok());
  (void)open_text(bpe(repeat("\"\":0,", 1'000'000) + "\"a\":1", ""));
  (void)open_text(bpe("\"a\":0", repeat("\"a a\",", 1'000'000) + "\"a a\""));
  (void)open_text(bpe("\"a\":0", repeat("[\"a\",\"a\"],", 500'000) + "\"a a\""));
  std::string many;
  for (int i = 0; i < 300'000; ++i)
    many.append("\"").append(std::to_string(i)).append("\":").append(std::to_string(i)).append(",");
  EXPECT_TRUE(open_text(bpe(many + "\"a\":300000", "")).ok());
  std::string added;
  for (int i = 0; i < 60'000; ++i)
    added.append("{\"id\":").append(std::to_string(i)).append(",\"content\":\"").append(std::to_string(i)).append("\"},");
  EXPECT_TRUE(open_text(bpe("\"a\":0", "", ",\"added_tokens\":[" + added + "{\"id\":1,\"content\":\"x\"}]")).ok());
}

TEST(MalformedTokenizer, PatternsThatAreNoneOrNeverEnd) {
  json file = small();
  const auto with_pattern = [&](const char* pattern) {
    file["pre_tokenizer"] = {{"type", "Split"}, {"pattern", {{"Regex", pattern}}}, {"behavior", "Isolated"}};
    return file.dump();
  };
  for (const char* bad : {"(", "[", "a{2,1}", "\\p{Nothing}", "(?<n", "*"}) expect_refused(with_pattern(bad));
  expect_refused(with_pattern("[a&&b]"), ErrorCode::kUnsupported);
  EXPECT_TRUE(open_text(with_pattern("[\\p{L}&&[^\\p{Han}]]+|\\p{Han}")).ok());
  // A pattern that backtracks without end is a limit, not a hang.
  const auto slow = open_text(with_pattern("(a|aa)+c"));
  ASSERT_TRUE(slow.ok());
  const auto ids = (*slow)->encode(std::string(200, 'a') + "!c");
  ASSERT_FALSE(ids.ok());
  EXPECT_EQ(ids.error().code, ErrorCode::kLimit);
  // Empty matches move on.
  const auto empty = open_text(with_pattern("x*"));
  ASSERT_TRUE(empty.ok());
  EXPECT_EQ((*empty)->decode((*empty)->encode("axb\u00FC\xFF").value()).value(), "axb\u00FC\xFF");
}

TEST(MalformedTokenizer, AReplaceCannotGrowATextWithoutEnd) {
  json file = small();
  json step = {{"type", "Replace"}, {"pattern", {{"String", "a"}}}, {"content", std::string(100, 'a')}};
  file["normalizer"] = {{"type", "Sequence"}, {"normalizers", json::array()}};
  for (int i = 0; i < 20; ++i) file["normalizer"]["normalizers"].push_back(step);
  const auto t = open_text(file.dump());
  ASSERT_TRUE(t.ok());
  const auto ids = (*t)->encode("aaaa");
  ASSERT_FALSE(ids.ok());
  EXPECT_EQ(ids.error().code, ErrorCode::kLimit);
}

}  // namespace
}  // namespace lahar
