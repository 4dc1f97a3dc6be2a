// The tokens of a vocabulary: how the file spells each, which bytes it stands for, and what kind it is.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/result.h"

namespace lahar {

enum class TokenType : uint8_t { kMissing, kNormal, kUnknown, kControl, kUserDefined, kUnused, kByte };

// Filled with set() and set_piece(), then sealed with build_index(); read by any number of threads after that.
class Vocabulary {
 public:
  // Gives `id` a token; a second call for an id replaces its first. `expected` bounds the ids: at most 4 * expected + 2^20,
  // so that an id that lies cannot make the vocabulary huge. Errors: kFormat.
  Status set(int64_t id, std::string_view text, TokenType type, size_t expected);
  // The bytes that the token stands for, where they are not its spelling.
  void set_piece(int32_t id, std::string_view bytes);
  void set_type(int32_t id, TokenType type) { entries_[id].type = type; }
  void build_index();

  int32_t size() const { return static_cast<int32_t>(entries_.size()); }
  bool contains(int32_t id) const { return id >= 0 && id < size() && entries_[id].type != TokenType::kMissing; }
  // For ids inside [0, size()).
  TokenType type(int32_t id) const { return entries_[id].type; }
  std::string_view text(int32_t id) const { return view(entries_[id].text); }
  std::string_view piece(int32_t id) const { return view(entries_[id].piece); }
  bool is_special(int32_t id) const {
    return contains(id) && (type(id) == TokenType::kControl || type(id) == TokenType::kUnknown);
  }
  // Whether text may become this token by merging: not special, and not a stand-in for a byte.
  bool is_mergeable(int32_t id) const { return contains(id) && !is_special(id) && type(id) != TokenType::kByte; }

  // By spelling; the highest id where several share one. After build_index().
  std::optional<int32_t> find(std::string_view text) const;
  size_t longest_text() const { return longest_text_; }  // bytes

 private:
  struct Range {
    uint32_t offset = 0, length = 0;
  };
  struct Entry {
    Range text, piece;
    TokenType type = TokenType::kMissing;
  };
  std::string_view view(Range r) const { return std::string_view(arena_).substr(r.offset, r.length); }
  Range store(std::string_view text);

  std::string arena_;
  std::vector<Entry> entries_;
  std::vector<int32_t> slots_;  // open addressing, a power of two, -1: empty
  size_t longest_text_ = 0;
};

}  // namespace lahar
