#include "text/stream_decoder.h"

#include <gtest/gtest.h>

#include <random>

#include "text/utf8.h"
#include "tokenizer_fixture.h"

namespace lahar {
namespace {

// What is left of `out` after its whole characters, where it had whole characters alone.
bool is_valid(std::string_view out) { return utf8::run_end(out, 0, true) == out.size(); }

TEST(Utf8Stream, EverySplitOfCharactersGivesWholeCharactersAlone) {
  const std::string text = "a\u00E9\u0800\uFFFD\U00010000\U0010FFFF\u65E5z";
  for (size_t first = 0; first <= text.size(); ++first) {
    for (size_t second = first; second <= text.size(); ++second) {
      Utf8Stream stream;
      std::string all;
      for (const auto& part : {text.substr(0, first), text.substr(first, second - first), text.substr(second)}) {
        const std::string out = stream.push(part);
        EXPECT_TRUE(is_valid(out)) << first << ' ' << second;
        all += out;
      }
      EXPECT_EQ(all, text);
      EXPECT_EQ(stream.flush(), "");
    }
  }
}

TEST(Utf8Stream, AnUnfinishedCharacterComesWithFlush) {
  Utf8Stream stream;
  EXPECT_EQ(stream.push("x\xF0\x9F\xA6"), "x");
  EXPECT_EQ(stream.flush(), "\xF0\x9F\xA6");
  EXPECT_EQ(stream.flush(), "");
  EXPECT_EQ(stream.push("y"), "y");
}

TEST(Utf8Stream, BytesThatCannotBecomeACharacterAreNotHeld) {
  for (const std::string bad : {"\x80", "\xBF", "\xC0", "\xC1", "\xF5", "\xFF", "\xE0\x80", "\xED\xA0", "\xF0\x80",
                                "\xF4\x90", "\xC3(", "\xE2\x82(", "\xF0\x9F\x98(", "\x80\x80\x80\x80"}) {
    Utf8Stream stream;
    EXPECT_EQ(stream.push(bad), bad);
  }
  // One byte after the other: only what may still become a character waits.
  Utf8Stream stream;
  EXPECT_EQ(stream.push("\xE2"), "");
  EXPECT_EQ(stream.push("\xE2"), "\xE2");
  EXPECT_EQ(stream.push("\x82"), "");
  EXPECT_EQ(stream.push("\xAC"), "\xE2\x82\xAC");
}

TEST(Utf8Stream, RandomBytesInRandomPartsComeThroughUnchanged) {
  std::mt19937 random(7);
  for (int round = 0; round < 2000; ++round) {
    Utf8Stream stream;
    std::string in, out;
    for (int part = 0; part < 8; ++part) {
      std::string bytes;
      for (uint32_t i = random() % 5; i > 0; --i) {
        // Mostly leads and continuations, which is where mistakes are.
        constexpr uint8_t kLikely[] = {0x80, 0xBF, 0xC2, 0xE0, 0xED, 0xEF, 0xF0, 0xF4, 0x9F, 0xA0, 'a'};
        bytes += static_cast<char>(random() % 4 ? kLikely[random() % std::size(kLikely)] : random());
      }
      in += bytes;
      out += stream.push(bytes);
      EXPECT_LE(in.size() - out.size(), 3u);
    }
    EXPECT_EQ(out + stream.flush(), in);
  }
}

TEST(StreamDecoder, IdsBecomeTextAsSoonAsItIsWhole) {
  const auto tokenizer = test::must(test::open_gguf(test::ByteLevelTokens().gguf().bytes()));
  ASSERT_TRUE(tokenizer);
  StreamDecoder decoder(*tokenizer);
  EXPECT_EQ(decoder.push('a'), "a");
  EXPECT_EQ(decoder.push(0xC3), "");
  EXPECT_EQ(decoder.push(256), "");  // special: shows nothing
  EXPECT_EQ(decoder.push(0xBC), "\u00FC");
  EXPECT_EQ(decoder.push(-1), "");
  EXPECT_EQ(decoder.push(1 << 30), "");
  EXPECT_EQ(decoder.push(0xE2), "");
  EXPECT_EQ(decoder.flush(), "\xE2");
  StreamDecoder shows_special(*tokenizer, {.skip_special = false});
  EXPECT_EQ(shows_special.push(256), "<|start|>");
}

}  // namespace
}  // namespace lahar
