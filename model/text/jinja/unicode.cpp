#include "text/jinja/unicode.h"

#include <algorithm>
#include <array>
#include <iterator>
#include <span>

namespace lahar::jinja {

namespace {

struct ClassChange {
  uint32_t from;
  uint16_t classes;
};
struct CaseRun {
  uint32_t first, last, step;
  int32_t delta;
};
struct CaseSpecial {
  uint32_t from;
  const char* to;
};

#include "text/jinja/unicode_tables.inc"

void append_mapped(char32_t c, std::span<const CaseRun> runs, std::span<const CaseSpecial> specials, std::string& out) {
  for (const CaseSpecial& s : specials) {
    if (s.from == c) {
      out += s.to;
      return;
    }
  }
  auto run = std::upper_bound(runs.begin(), runs.end(), c, [](char32_t value, const CaseRun& r) { return value < r.first; });
  // Runs of alternating letters may overlap others, hence the short walk back.
  for (int back = 0; back < 4 && run != runs.begin(); ++back) {
    --run;
    if (c <= run->last && (c - run->first) % run->step == 0) {
      encode(static_cast<char32_t>(static_cast<int64_t>(c) + run->delta), out);
      return;
    }
  }
  encode(c, out);
}

bool continuation(std::string_view text, size_t i) { return i < text.size() && (text[i] & 0xC0) == 0x80; }

}  // namespace

CodePoint decode(std::string_view text, size_t offset) {
  const auto b = [&](size_t i) { return static_cast<uint32_t>(static_cast<unsigned char>(text[offset + i])); };
  const uint32_t lead = b(0);
  if (lead < 0x80) return {lead, 1};
  const CodePoint broken{0xDC00 + lead, 1};
  if (lead < 0xC2 || lead > 0xF4 || !continuation(text, offset + 1)) return broken;
  if (lead < 0xE0) return {(lead & 0x1F) << 6 | (b(1) & 0x3F), 2};
  if (!continuation(text, offset + 2)) return broken;
  if (lead < 0xF0) {
    const char32_t c = (lead & 0x0F) << 12 | (b(1) & 0x3F) << 6 | (b(2) & 0x3F);
    return c < 0x800 || (c >= 0xD800 && c < 0xE000) ? broken : CodePoint{c, 3};
  }
  if (!continuation(text, offset + 3)) return broken;
  const char32_t c = (lead & 0x07) << 18 | (b(1) & 0x3F) << 12 | (b(2) & 0x3F) << 6 | (b(3) & 0x3F);
  return c < 0x10000 || c > 0x10FFFF ? broken : CodePoint{c, 4};
}

void encode(char32_t c, std::string& out) {
  if (c >= 0xDC80 && c <= 0xDCFF) {  // a byte that decode() could not read goes out as it came
    out += static_cast<char>(c - 0xDC00);
    return;
  }
  if (c > 0x10FFFF || (c >= 0xD800 && c < 0xE000)) c = 0xFFFD;
  if (c < 0x80) {
    out += static_cast<char>(c);
  } else if (c < 0x800) {
    out += static_cast<char>(0xC0 | c >> 6);
    out += static_cast<char>(0x80 | (c & 0x3F));
  } else if (c < 0x10000) {
    out += static_cast<char>(0xE0 | c >> 12);
    out += static_cast<char>(0x80 | (c >> 6 & 0x3F));
    out += static_cast<char>(0x80 | (c & 0x3F));
  } else {
    out += static_cast<char>(0xF0 | c >> 18);
    out += static_cast<char>(0x80 | (c >> 12 & 0x3F));
    out += static_cast<char>(0x80 | (c >> 6 & 0x3F));
    out += static_cast<char>(0x80 | (c & 0x3F));
  }
}

size_t code_points(std::string_view text) {
  size_t n = 0;
  for (size_t i = 0; i < text.size(); i += decode(text, i).size) ++n;
  return n;
}

size_t byte_offset(std::string_view text, size_t index) {
  size_t i = 0;
  while (index > 0 && i < text.size()) {
    i += decode(text, i).size;
    --index;
  }
  return i;
}

uint16_t classes(char32_t c) {
  static constexpr auto kAscii = [] {
    std::array<uint16_t, 128> table{};
    size_t change = 0;
    for (uint32_t i = 0; i < 128; ++i) {
      while (change + 1 < std::size(kClassChanges) && kClassChanges[change + 1].from <= i) ++change;
      table[i] = kClassChanges[change].classes;
    }
    return table;
  }();
  if (c < 128) return kAscii[c];
  const auto* after = std::upper_bound(std::begin(kClassChanges), std::end(kClassChanges), c,
                                       [](char32_t value, const ClassChange& change) { return value < change.from; });
  return (after - 1)->classes;
}

void append_upper(char32_t c, std::string& out) { append_mapped(c, kUpperRuns, kUpperSpecial, out); }
void append_lower(char32_t c, std::string& out) { append_mapped(c, kLowerRuns, kLowerSpecial, out); }
void append_title(char32_t c, std::string& out) { append_mapped(c, kTitleRuns, kTitleSpecial, out); }

void append_lower_at(std::string_view text, size_t offset, CodePoint c, std::string& out) {
  constexpr char32_t kSigma = 0x3A3, kFinalSigma = 0x3C2;
  if (c.value == kSigma && offset > 0) {
    size_t before = offset - 1;
    while (before > 0 && (text[before] & 0xC0) == 0x80) --before;
    const size_t after = offset + c.size;
    const bool ends = after >= text.size() || !is(decode(text, after).value, kAlpha);
    if (is(decode(text, before).value, kAlpha) && ends) {
      encode(kFinalSigma, out);
      return;
    }
  }
  append_lower(c.value, out);
}

}  // namespace lahar::jinja
