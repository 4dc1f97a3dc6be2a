#include "text/utf8.h"

#include <gtest/gtest.h>

#include "text/utf8_normalize.h"

namespace lahar::utf8 {
namespace {

TEST(Utf8, DecodesAllThatIsValidAndNothingElse) {
  for (char32_t code = 0; code <= 0x10FFFF; ++code) {
    std::string text;
    append(text, code);
    const Character c = decode(text, 0);
    const bool surrogate = code >= 0xD800 && code <= 0xDFFF;
    ASSERT_EQ(c.valid, !surrogate) << static_cast<uint32_t>(code);
    if (surrogate) continue;
    ASSERT_EQ(c.code, code);
    ASSERT_EQ(c.length, text.size());
    ASSERT_EQ(decode_before("x" + text, text.size() + 1).code, code);
    for (size_t length = 1; length < text.size(); ++length)
      ASSERT_EQ(unfinished_tail(text.substr(0, length)), length) << static_cast<uint32_t>(code);
    ASSERT_EQ(unfinished_tail(text), 0u);
  }
  for (const std::string bad : {"\x80", "\xC0\x80", "\xC1\xBF", "\xE0\x9F\xBF", "\xF0\x8F\xBF\xBF", "\xF4\x90\x80\x80",
                                "\xF5\x80\x80\x80", "\xC3", "\xE2\x82", "\xF0\x9F\x98"}) {
    EXPECT_FALSE(decode(bad, 0).valid);
    EXPECT_EQ(decode(bad, 0).length, 1u);
    EXPECT_EQ(run_end(bad, 0, false), bad.size());
  }
}

TEST(Utf8, PrintableIsOneLineAndShort) {
  EXPECT_EQ(printable("a\nb\x1B[1m\xFF\u00FC\u0085\u2028"), "a?b?[1m?\u00FC??");
  EXPECT_EQ(printable("\u00FC\u00FC", 3), "\u00FC");
}

TEST(Utf8, TheByteAlphabetIsOneToOne) {
  std::string all, spelled;
  for (int b = 0; b < 256; ++b) all += static_cast<char>(b);
  append_byte_alphabet(spelled, all);
  EXPECT_EQ(from_byte_alphabet(spelled), all);
  EXPECT_EQ(from_byte_alphabet("a b"), std::nullopt);  // a space is not of the alphabet
  EXPECT_EQ(from_byte_alphabet("\u0144"), std::nullopt);
  EXPECT_EQ(from_byte_alphabet("\xFF"), std::nullopt);
  std::string space;
  append_byte_alphabet(space, " \n");
  EXPECT_EQ(space, "\u0120\u010A");
}

std::string nfc(std::string text) { return to_nfc(text), text; }
std::string nfd(std::string text) { return to_nfd(text), text; }

// Rows in the manner of Unicode's NormalizationTest.txt: a text, its NFC, its NFD.
TEST(Utf8, NormalizationForms) {
  const std::string rows[][3] = {
      {"plain", "plain", "plain"},
      {"\u00FC", "\u00FC", "u\u0308"},
      {"u\u0308", "\u00FC", "u\u0308"},
      {"\u1E69", "\u1E69", "s\u0323\u0307"},
      {"s\u0307\u0323", "\u1E69", "s\u0323\u0307"},
      {"\u212B", "\u00C5", "A\u030A"},             // a singleton
      {"\u0958", "\u0915\u093C", "\u0915\u093C"},  // excluded from composition
      {"\u0344", "\u0308\u0301", "\u0308\u0301"},  // no starter
      {"\uAC01", "\uAC01", "\u1100\u1161\u11A8"},
      {"\u1100\u1161\u11A8", "\uAC01", "\u1100\u1161\u11A8"},
      {"\uAC00\u11A8", "\uAC01", "\u1100\u1161\u11A8"},
      {"a\u0315\u0300\u05AE\u0300b", "\u00E0\u05AE\u0300\u0315b", "a\u05AE\u0300\u0300\u0315b"},
      {"a\u0301\u0301", "\u00E1\u0301", "a\u0301\u0301"},  // the second is blocked
      {"\u09C7\u09BE", "\u09CB", "\u09C7\u09BE"},          // two starters
      {"\U0001D15E", "\U0001D157\U0001D165", "\U0001D157\U0001D165"},
      {"\uFB01", "\uFB01", "\uFB01"},  // compatibility alone
      {"a\xFF\u0308u\u0308\xC3", "a\xFF\u0308\u00FC\xC3", "a\xFF\u0308u\u0308\xC3"},
      {std::string("u\u0308\0", 4), std::string("\u00FC\0", 3), std::string("u\u0308\0", 4)},
  };
  for (const auto& row : rows) {
    EXPECT_EQ(nfc(row[0]), row[1]) << row[0];
    EXPECT_EQ(nfd(row[0]), row[2]) << row[0];
    EXPECT_EQ(nfc(row[2]), row[1]) << row[0];
    EXPECT_EQ(nfd(row[1]), row[2]) << row[0];
  }
}

}  // namespace
}  // namespace lahar::utf8
