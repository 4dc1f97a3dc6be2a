#include "demo/wide_text.h"

namespace lahar::demo {
namespace {

constexpr uint32_t kUnknown = 0xfffd;

bool is_private(uint32_t c) { return c >= WideText::kFirst && c <= WideText::kLast; }

}  // namespace

void append_utf8(std::string& text, uint32_t c) {
  const auto byte = [&](uint32_t b) { text.push_back(static_cast<char>(b)); };
  if (c < 0x80) return byte(c);
  if (c < 0x800) byte(0xc0 | c >> 6);
  else if (c < 0x10000) byte(0xe0 | c >> 12), byte(0x80 | (c >> 6 & 0x3f));
  else byte(0xf0 | c >> 18), byte(0x80 | (c >> 12 & 0x3f)), byte(0x80 | (c >> 6 & 0x3f));
  byte(0x80 | (c & 0x3f));
}

bool WideText::is_invisible(uint32_t c) {
  return (c >= 0x200b && c <= 0x200f) || (c >= 0x202a && c <= 0x202e) || (c >= 0x2060 && c <= 0x206f) ||
         (c >= 0xfe00 && c <= 0xfe0f) || c == 0xfeff || (c >= 0xe0000 && c <= 0xe0fff);
}

uint32_t WideText::stand_in(uint32_t c) {
  if (c <= 0xffff && !is_private(c) && !is_invisible(c)) return c;
  if (const auto found = places_.find(c); found != places_.end()) return found->second;
  if (characters_.size() > kLast - kFirst) return kUnknown;
  const uint32_t place = kFirst + static_cast<uint32_t>(characters_.size());
  characters_.push_back(c);
  places_.emplace(c, place);
  return place;
}

std::string WideText::shown(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for_each_character(text, [&](uint32_t c, std::string_view bytes) {
    // Two bytes and fewer are below U+0800.
    if (bytes.size() < 3) out += bytes;
    else append_utf8(out, stand_in(c));
  });
  return out;
}

std::string WideText::original(std::string_view shown) const {
  std::string out;
  out.reserve(shown.size());
  for_each_character(shown, [&](uint32_t c, std::string_view bytes) {
    if (is_private(c) && c - kFirst < characters_.size()) append_utf8(out, characters_[c - kFirst]);
    else out += bytes;
  });
  return out;
}

}  // namespace lahar::demo
