#include "text/utf8_normalize.h"

#include <algorithm>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "text/utf8.h"
#include "text/utf8_normalize_tables.h"

namespace lahar::utf8 {
namespace {

// Hangul syllables are composed by arithmetic (Unicode, section 3.12).
constexpr char32_t kSyllables = 0xAC00, kLeads = 0x1100, kVowels = 0x1161, kTails = 0x11A7;
constexpr char32_t kLeadCount = 19, kVowelCount = 21, kTailCount = 28,
                   kSyllableCount = kLeadCount * kVowelCount * kTailCount;

struct Mark {
  char32_t code;
  uint8_t combining_class;
};

uint8_t combining_class(char32_t code) {
  if (code < 0x300) return 0;
  const std::span ranges(kCombiningRanges, kCombiningRangeCount);
  const auto it = std::partition_point(ranges.begin(), ranges.end(), [&](const CombiningRange& r) { return r.last < code; });
  return it != ranges.end() && it->first <= code ? it->combining_class : 0;
}

void decompose(char32_t code, std::vector<Mark>& out) {
  if (code >= kSyllables && code < kSyllables + kSyllableCount) {
    const char32_t index = code - kSyllables;
    out.push_back({kLeads + index / (kVowelCount * kTailCount), 0});
    out.push_back({kVowels + index % (kVowelCount * kTailCount) / kTailCount, 0});
    if (index % kTailCount != 0) out.push_back({kTails + index % kTailCount, 0});
    return;
  }
  if (code >= 0xC0) {
    const std::span all(kDecompositions, kDecompositionCount);
    const auto it = std::partition_point(all.begin(), all.end(), [&](const Decomposition& d) { return d.code < code; });
    if (it != all.end() && it->code == code) {
      decompose(it->first, out);  // the data nests four deep at most
      if (it->second) decompose(it->second, out);
      return;
    }
  }
  out.push_back({code, combining_class(code)});
}

std::optional<char32_t> compose(char32_t first, char32_t second) {
  if (first >= kLeads && first < kLeads + kLeadCount && second >= kVowels && second < kVowels + kVowelCount)
    return kSyllables + ((first - kLeads) * kVowelCount + (second - kVowels)) * kTailCount;
  if (first >= kSyllables && first < kSyllables + kSyllableCount && (first - kSyllables) % kTailCount == 0 &&
      second > kTails && second < kTails + kTailCount)
    return first + (second - kTails);
  const std::span pairs(kCompositions, kCompositionCount);
  const auto key = std::pair<uint32_t, uint32_t>(first, second);
  const auto key_of = [](uint16_t i) { return std::pair(kDecompositions[i].first, kDecompositions[i].second); };
  const auto it = std::partition_point(pairs.begin(), pairs.end(), [&](uint16_t i) { return key_of(i) < key; });
  if (it == pairs.end() || key_of(*it) != key) return std::nullopt;
  return kDecompositions[*it].code;
}

void compose_all(std::vector<Mark>& marks) {
  size_t kept = 0;
  std::optional<size_t> starter;
  for (const Mark mark : marks) {
    // A mark is blocked from the starter by one of its own class or higher (or by another starter) between them.
    const bool blocked = starter && kept > *starter + 1 && marks[kept - 1].combining_class >= mark.combining_class;
    if (starter && !blocked) {
      if (const auto both = compose(marks[*starter].code, mark.code)) {
        marks[*starter].code = *both;
        continue;
      }
    }
    if (mark.combining_class == 0) starter = kept;
    marks[kept++] = mark;
  }
  marks.resize(kept);
}

void normalize(std::string& text, bool composed) {
  if (std::all_of(text.begin(), text.end(), [](char c) { return static_cast<uint8_t>(c) < 0x80; })) return;
  std::string out;
  out.reserve(text.size());
  std::vector<Mark> marks;
  // Takes what has been gathered up to a place that nothing moves across: the next starter may still compose with the last
  // one, so that only ASCII, damage and the end of the text are such places.
  const auto finish = [&] {
    for (size_t i = 0; i < marks.size();) {
      size_t end = i + 1;
      while (end < marks.size() && marks[end].combining_class != 0) ++end;
      const size_t begin = marks[i].combining_class == 0 ? i + 1 : i;
      std::stable_sort(marks.begin() + begin, marks.begin() + end,
                       [](const Mark& a, const Mark& b) { return a.combining_class < b.combining_class; });
      i = end;
    }
    if (composed) compose_all(marks);
    for (const Mark& mark : marks) append(out, mark.code);
    marks.clear();
  };
  for (size_t at = 0; at < text.size();) {
    const Character c = decode(text, at);
    if (!c.valid) {
      finish();
      out += text[at];
    } else {
      if (c.code < 0x80) finish();
      decompose(c.code, marks);
    }
    at += c.length;
  }
  finish();
  text = std::move(out);
}

}  // namespace

void to_nfc(std::string& text) { normalize(text, true); }
void to_nfd(std::string& text) { normalize(text, false); }

}  // namespace lahar::utf8
