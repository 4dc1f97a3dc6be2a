// UTF-8, character classes and case mapping, as Python's str methods see them. Invalid bytes are read one at a time as
// characters of no class, so that every function is total.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace lahar::jinja {

enum CharClass : uint16_t {
  kSpace = 1 << 0,
  kAlpha = 1 << 1,
  kDecimal = 1 << 2,
  kDigit = 1 << 3,
  kNumeric = 1 << 4,
  kUpper = 1 << 5,
  kLower = 1 << 6,
  kTitle = 1 << 7,
  kPrintable = 1 << 8,
  kWord = 1 << 9,  // what the regular expression \w matches
};

struct CodePoint {
  char32_t value;  // 0xDC00 + byte for a byte that is not UTF-8
  uint32_t size;   // bytes, 1 to 4
};

// The character at `offset`, which must be less than text.size().
CodePoint decode(std::string_view text, size_t offset);
void encode(char32_t code_point, std::string& out);  // what is not a character becomes U+FFFD

size_t code_points(std::string_view text);
// The byte offset of character `index`; text.size() where there are not that many.
size_t byte_offset(std::string_view text, size_t index);

uint16_t classes(char32_t code_point);
inline bool is(char32_t code_point, CharClass what) { return (classes(code_point) & what) != 0; }

// Appends the full mapping, which may be several characters.
void append_upper(char32_t code_point, std::string& out);
void append_lower(char32_t code_point, std::string& out);
void append_title(char32_t code_point, std::string& out);
// The mapping of a whole string differs for a sigma at the end of a word.
void append_lower_at(std::string_view text, size_t offset, CodePoint c, std::string& out);

}  // namespace lahar::jinja
