#include "text/utf8.h"

#include <algorithm>
#include <array>

namespace lahar::utf8 {
namespace {

bool is_continuation(char c) { return (static_cast<uint8_t>(c) & 0xC0) == 0x80; }

struct ByteAlphabet {
  std::array<char32_t, 256> character{};
  std::array<int16_t, 0x144> byte{};  // -1: none
};

constexpr ByteAlphabet make_alphabet() {
  ByteAlphabet a;
  for (auto& b : a.byte) b = -1;
  char32_t next = 0x100;
  for (int b = 0; b < 256; ++b) {
    const bool printable = (b >= 0x21 && b <= 0x7E) || (b >= 0xA1 && b <= 0xAC) || (b >= 0xAE);
    const char32_t c = printable ? static_cast<char32_t>(b) : next++;
    a.character[b] = c;
    a.byte[c] = static_cast<int16_t>(b);
  }
  return a;
}

constexpr ByteAlphabet kAlphabet = make_alphabet();

}  // namespace

Character decode(std::string_view text, size_t at) {
  const auto lead = static_cast<uint8_t>(text[at]);
  if (lead < 0x80) return {lead, 1, true};
  uint32_t length = 0;
  char32_t code = 0, least = 0;
  if (lead >= 0xC2 && lead <= 0xDF) {
    length = 2, code = lead & 0x1F, least = 0x80;
  } else if (lead >= 0xE0 && lead <= 0xEF) {
    length = 3, code = lead & 0x0F, least = 0x800;
  } else if (lead >= 0xF0 && lead <= 0xF4) {
    length = 4, code = lead & 0x07, least = 0x10000;
  } else {
    return {lead, 1, false};
  }
  if (length > text.size() - at) return {lead, 1, false};
  for (uint32_t i = 1; i < length; ++i) {
    if (!is_continuation(text[at + i])) return {lead, 1, false};
    code = code << 6 | (static_cast<uint8_t>(text[at + i]) & 0x3F);
  }
  if (code < least || code > 0x10FFFF || (code >= 0xD800 && code <= 0xDFFF)) return {lead, 1, false};
  return {code, length, true};
}

Character decode_before(std::string_view text, size_t end) {
  for (size_t length = 1; length <= std::min<size_t>(4, end); ++length) {
    if (is_continuation(text[end - length])) continue;
    const Character c = decode(text, end - length);
    if (c.length == length) return c;
    break;
  }
  return {static_cast<uint8_t>(text[end - 1]), 1, false};
}

size_t run_end(std::string_view text, size_t at, bool valid) {
  while (at < text.size()) {
    const Character c = decode(text, at);
    if (c.valid != valid) break;
    at += c.length;
  }
  return at;
}

size_t unfinished_tail(std::string_view text) {
  for (size_t length = 1; length <= std::min<size_t>(3, text.size()); ++length) {
    const auto lead = static_cast<uint8_t>(text[text.size() - length]);
    if ((lead & 0xC0) == 0x80) continue;
    size_t needed = 0;
    uint8_t second_least = 0x80,
            second_most = 0xBF;  // what may follow the lead, which rules out overlong forms and surrogates
    if (lead >= 0xC2 && lead <= 0xDF) {
      needed = 2;
    } else if (lead >= 0xE0 && lead <= 0xEF) {
      needed = 3;
      if (lead == 0xE0) second_least = 0xA0;
      if (lead == 0xED) second_most = 0x9F;
    } else if (lead >= 0xF0 && lead <= 0xF4) {
      needed = 4;
      if (lead == 0xF0) second_least = 0x90;
      if (lead == 0xF4) second_most = 0x8F;
    }
    if (length >= needed) return 0;
    if (length >= 2) {
      const auto second = static_cast<uint8_t>(text[text.size() - length + 1]);
      if (second < second_least || second > second_most) return 0;
    }
    return length;
  }
  return 0;
}

void append(std::string& text, char32_t code) {
  const auto push = [&](char32_t byte) { text.push_back(static_cast<char>(byte)); };
  if (code < 0x80) {
    push(code);
  } else if (code < 0x800) {
    push(0xC0 | code >> 6), push(0x80 | (code & 0x3F));
  } else if (code < 0x10000) {
    push(0xE0 | code >> 12), push(0x80 | (code >> 6 & 0x3F)), push(0x80 | (code & 0x3F));
  } else {
    push(0xF0 | code >> 18), push(0x80 | (code >> 12 & 0x3F)), push(0x80 | (code >> 6 & 0x3F)), push(0x80 | (code & 0x3F));
  }
}

std::string printable(std::string_view text, size_t limit) {
  std::string out;
  for (size_t at = 0; at < text.size();) {
    const Character c = decode(text, at);
    if (out.size() + c.length > limit) break;
    const bool control = c.code < 0x20 || (c.code >= 0x7F && c.code < 0xA0) || c.code == 0x2028 || c.code == 0x2029;
    if (c.valid && !control) out.append(text, at, c.length);
    else out += '?';
    at += c.length;
  }
  return out;
}

bool is_whitespace(char32_t c) {
  return (c >= 9 && c <= 13) || c == ' ' || c == 0x85 || c == 0xA0 || c == 0x1680 || (c >= 0x2000 && c <= 0x200A) ||
         c == 0x2028 || c == 0x2029 || c == 0x202F || c == 0x205F || c == 0x3000;
}

char32_t byte_character(uint8_t byte) { return kAlphabet.character[byte]; }

std::optional<uint8_t> character_byte(char32_t code) {
  if (code >= kAlphabet.byte.size() || kAlphabet.byte[code] < 0) return std::nullopt;
  return static_cast<uint8_t>(kAlphabet.byte[code]);
}

void append_byte_alphabet(std::string& out, std::string_view bytes) {
  for (char b : bytes) append(out, byte_character(static_cast<uint8_t>(b)));
}

std::optional<std::string> from_byte_alphabet(std::string_view text) {
  std::string bytes;
  bytes.reserve(text.size());
  for (size_t at = 0; at < text.size();) {
    const Character c = decode(text, at);
    const auto byte = c.valid ? character_byte(c.code) : std::nullopt;
    if (!byte) return std::nullopt;
    bytes.push_back(static_cast<char>(*byte));
    at += c.length;
  }
  return bytes;
}

}  // namespace lahar::utf8
