// UTF-8 that may be damaged, and the alphabet in which byte-level vocabularies write bytes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace lahar::utf8 {

struct Character {
  char32_t code = 0;    // the byte itself where it is not valid
  uint32_t length = 1;  // bytes
  bool valid = false;
};

// The character that starts at `at` (< text.size()). Overlong forms, surrogates and codes over U+10FFFF are not valid, and
// what is not valid is one byte long.
Character decode(std::string_view text, size_t at);
// The character that ends before `end` (> 0).
Character decode_before(std::string_view text, size_t end);

// The first position at or after `at` where the validity differs from `valid`: a run of valid, or of invalid bytes.
size_t run_end(std::string_view text, size_t at, bool valid);

// How many bytes at the end of `text` may be the start of a character that is still to come (0 to 3).
size_t unfinished_tail(std::string_view text);

void append(std::string& text, char32_t code);

// At most `limit` bytes of `text` for a message of one line: control characters and what is not valid become '?'.
std::string printable(std::string_view text, size_t limit = 64);

bool is_whitespace(char32_t code);  // Unicode White_Space

// Byte-level vocabularies write each byte as one printable character: itself where it is printable Latin-1, else one
// of U+0100 to U+0143, in rising order.
char32_t byte_character(uint8_t byte);
std::optional<uint8_t> character_byte(char32_t code);
void append_byte_alphabet(std::string& out, std::string_view bytes);
// nullopt where a character is not of that alphabet.
std::optional<std::string> from_byte_alphabet(std::string_view text);

}  // namespace lahar::utf8
