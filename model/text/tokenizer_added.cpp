#include "text/tokenizer_added.h"

#include <algorithm>
#include <utility>

#include "text/utf8.h"

namespace lahar {
namespace {

bool is_word_character(utf8::Character c) {
  if (!c.valid) return false;
  if (c.code >= 0x80) return !utf8::is_whitespace(c.code);
  return (c.code >= '0' && c.code <= '9') || (c.code >= 'A' && c.code <= 'Z') || (c.code >= 'a' && c.code <= 'z') ||
         c.code == '_';
}

bool stands_alone(std::string_view text, size_t begin, size_t end) {
  if (begin > 0 && is_word_character(utf8::decode_before(text, begin))) return false;
  return end == text.size() || !is_word_character(utf8::decode(text, end));
}

bool is_space(utf8::Character c) { return c.valid && utf8::is_whitespace(c.code); }

}  // namespace

bool AddedTokens::add(AddedToken token) {
  if (token.text.empty() || token.text.size() > kLongest) return false;
  tokens_.push_back(std::move(token));
  return true;
}

void AddedTokens::seal() {
  // Where two have one spelling the later one counts, as it does in Vocabulary::find().
  std::stable_sort(tokens_.begin(), tokens_.end(), [](const AddedToken& a, const AddedToken& b) { return a.text < b.text; });
  std::vector<AddedToken> kept;
  for (AddedToken& token : tokens_) {
    if (!kept.empty() && kept.back().text == token.text) kept.back() = std::move(token);
    else kept.push_back(std::move(token));
  }
  tokens_ = std::move(kept);
  for (const AddedToken& token : tokens_) ++first_byte_[static_cast<uint8_t>(token.text[0]) + 1];
  for (size_t b = 0; b < 256; ++b) first_byte_[b + 1] += first_byte_[b];
}

const AddedToken* AddedTokens::longest_at(std::string_view text, size_t at, size_t trusted_end) const {
  const auto lead = static_cast<uint8_t>(text[at]);
  size_t low = first_byte_[lead], high = first_byte_[lead + 1];
  const AddedToken* best = nullptr;
  // Narrows [low, high) to the tokens that share the text's first `length` bytes; the shortest of them comes first.
  for (size_t length = 1; low < high; ++length) {
    const AddedToken& shortest = tokens_[low];
    if (shortest.text.size() == length) {
      const bool allowed = !shortest.special || at + length <= trusted_end;
      if (allowed && (!shortest.single_word || stands_alone(text, at, at + length))) best = &shortest;
      ++low;
    }
    if (at + length == text.size()) break;
    const auto next = static_cast<uint8_t>(text[at + length]);
    const auto byte_at = [&](const AddedToken& t) { return static_cast<uint8_t>(t.text[length]); };
    const auto begin = tokens_.begin();
    low = std::partition_point(begin + low, begin + high, [&](const AddedToken& t) { return byte_at(t) < next; }) - begin;
    high = std::partition_point(begin + low, begin + high, [&](const AddedToken& t) { return byte_at(t) == next; }) - begin;
  }
  return best;
}

std::optional<AddedTokens::Match> AddedTokens::find(std::string_view text, size_t from,
                                                    std::span<const ByteRange> trusted) const {
  if (tokens_.empty()) return std::nullopt;
  auto range = std::partition_point(trusted.begin(), trusted.end(), [&](const ByteRange& r) { return r.end <= from; });
  for (size_t at = from; at < text.size(); ++at) {
    const auto lead = static_cast<uint8_t>(text[at]);
    if (first_byte_[lead] == first_byte_[lead + 1]) continue;
    while (range != trusted.end() && range->end <= at) ++range;
    const size_t trusted_end = range != trusted.end() && range->begin <= at ? range->end : 0;
    const AddedToken* token = longest_at(text, at, trusted_end);
    if (!token) continue;
    Match match{at, at + token->text.size(), token->id};
    if (token->strip_left) {
      while (match.begin > from) {
        const auto c = utf8::decode_before(text, match.begin);
        if (!is_space(c) || c.length > match.begin - from) break;
        match.begin -= c.length;
      }
    }
    if (token->strip_right) {
      while (match.end < text.size()) {
        const auto c = utf8::decode(text, match.end);
        if (!is_space(c)) break;
        match.end += c.length;
      }
    }
    return match;
  }
  return std::nullopt;
}

}  // namespace lahar
