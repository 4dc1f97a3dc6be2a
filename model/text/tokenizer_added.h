// Tokens that are found in a text as they are spelled, before anything is normalized or merged.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace lahar {

struct AddedToken {
  int32_t id = 0;
  std::string text;
  bool special = false;                          // found in trusted text alone
  bool strip_left = false, strip_right = false;  // takes the white space beside it along
  bool single_word = false;                      // not inside a word
};

// Bytes [begin, end) of a text.
struct ByteRange {
  size_t begin = 0, end = 0;
};

// Immutable after seal(); thread-safe.
class AddedTokens {
 public:
  static constexpr size_t kLongest = 1024;  // bytes; longer ones would make a search slow, and are not found

  // False where the token is empty or too long to be found.
  bool add(AddedToken token);
  void seal();
  bool empty() const { return tokens_.empty(); }

  struct Match {
    size_t begin = 0, end = 0;
    int32_t id = 0;
  };
  // The first match at or after `from`, the longest at that place. Special tokens count only inside one of the `trusted`
  // ranges (rising, apart from each other). Stripping reaches back to `from` at most.
  std::optional<Match> find(std::string_view text, size_t from, std::span<const ByteRange> trusted) const;

 private:
  const AddedToken* longest_at(std::string_view text, size_t at, size_t trusted_end) const;

  std::vector<AddedToken> tokens_;          // sorted by text
  std::array<uint32_t, 257> first_byte_{};  // tokens that start with byte b: [first_byte_[b], first_byte_[b + 1])
};

}  // namespace lahar
