// Text for an interface whose characters end at U+FFFF, as Dear ImGui's do in the builds of distributions: what is beyond
// stands in the text as a private character (U+E000 to U+F8FF), for which the fonts have the picture of the one that is
// meant. So do private characters themselves and those that have no picture (joiners, variation selectors). Thread rule: one
// thread at a time.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace lahar::demo {

// Calls `take` with each character of UTF-8 text and its bytes. What is no UTF-8 is left out.
template <typename Take>
void for_each_character(std::string_view text, const Take& take) {
  for (size_t i = 0; i < text.size();) {
    const auto lead = static_cast<unsigned char>(text[i]);
    const size_t length = lead < 0x80 ? 1 : lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : lead >= 0xc0 ? 2 : 0;
    bool whole = length > 0 && i + length <= text.size();
    uint32_t c = length == 1 ? lead : lead & (0x7fu >> length);
    for (size_t k = 1; whole && k < length; ++k) {
      const auto next = static_cast<unsigned char>(text[i + k]);
      whole = (next & 0xc0) == 0x80;
      c = c << 6 | (next & 0x3f);
    }
    if (!whole) {
      ++i;
      continue;
    }
    take(c, text.substr(i, length));
    i += length;
  }
}
void append_utf8(std::string& text, uint32_t character);

class WideText {
 public:
  static constexpr uint32_t kFirst = 0xe000, kLast = 0xf8ff;
  static constexpr uint32_t kMark = 0x200b;  // of no width; text to show has none but those of soft breaks (wrapped_input.h)

  // UTF-8 to show, and back.
  std::string shown(std::string_view text);
  std::string original(std::string_view shown) const;
  // The characters that others stand for: number i is shown as kFirst + i.
  const std::vector<uint32_t>& characters() const { return characters_; }

  static bool is_invisible(uint32_t c);

 private:
  uint32_t stand_in(uint32_t c);
  std::vector<uint32_t> characters_;
  std::map<uint32_t, uint32_t> places_;
};

}  // namespace lahar::demo
