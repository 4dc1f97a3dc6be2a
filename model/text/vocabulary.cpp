#include "text/vocabulary.h"

#include <algorithm>
#include <bit>
#include <functional>

#include "text/utf8.h"

namespace lahar {

Vocabulary::Range Vocabulary::store(std::string_view text) {
  const Range range{static_cast<uint32_t>(arena_.size()), static_cast<uint32_t>(text.size())};
  arena_.append(text);
  return range;
}

Status Vocabulary::set(int64_t id, std::string_view text, TokenType type, size_t expected) {
  const int64_t limit =
      std::min<int64_t>(INT32_MAX - 1, 4 * static_cast<int64_t>(std::min<size_t>(expected, 1u << 28)) + (1 << 20));
  if (id < 0 || id > limit)
    return Error{ErrorCode::kFormat, "tokenizer: id " + std::to_string(id) + " of token '" + utf8::printable(text) +
                                         "' lies outside 0 to " + std::to_string(limit)};
  // Half of what 32-bit offsets reach, because every text may get a piece of its own.
  if (arena_.size() + text.size() > UINT32_MAX / 2)
    return Error{ErrorCode::kLimit, "tokenizer: the tokens hold more than 2 GiB of text"};
  if (id >= size()) entries_.resize(static_cast<size_t>(id) + 1);
  const Range range = store(text);
  entries_[id] = {range, range, type};
  longest_text_ = std::max(longest_text_, text.size());
  return {};
}

void Vocabulary::set_piece(int32_t id, std::string_view bytes) { entries_[id].piece = store(bytes); }

void Vocabulary::build_index() {
  const size_t used =
      std::count_if(entries_.begin(), entries_.end(), [](const Entry& e) { return e.type != TokenType::kMissing; });
  slots_.assign(std::bit_ceil(used * 2 + 1), -1);
  const size_t mask = slots_.size() - 1;
  for (int32_t id = 0; id < size(); ++id) {
    if (entries_[id].type == TokenType::kMissing) continue;
    size_t slot = std::hash<std::string_view>{}(text(id)) & mask;
    while (slots_[slot] >= 0 && text(slots_[slot]) != text(id)) slot = (slot + 1) & mask;
    slots_[slot] = id;
  }
}

std::optional<int32_t> Vocabulary::find(std::string_view wanted) const {
  if (slots_.empty() || wanted.size() > longest_text_) return std::nullopt;
  const size_t mask = slots_.size() - 1;
  for (size_t slot = std::hash<std::string_view>{}(wanted)&mask; slots_[slot] >= 0; slot = (slot + 1) & mask)
    if (text(slots_[slot]) == wanted) return slots_[slot];
  return std::nullopt;
}

}  // namespace lahar
