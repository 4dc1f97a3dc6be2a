#include "text/tokenizer_unigram.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "text/tokenizer_bpe.h"
#include "text/utf8.h"

namespace lahar {

UnigramModel::UnigramModel(const Vocabulary& vocabulary, std::vector<float> scores, std::optional<int32_t> unknown,
                           bool byte_fallback)
    : vocabulary_(vocabulary), scores_(std::move(scores)), unknown_(unknown) {
  byte_ids_.fill(-1);
  if (byte_fallback) byte_ids_ = find_byte_tokens(vocabulary);
  float lowest = 0;
  for (int32_t id = 0; id < vocabulary.size(); ++id) {
    if (!vocabulary.is_mergeable(id) || vocabulary.text(id).empty() || vocabulary.text(id).size() > kLongest) continue;
    sorted_.push_back(id);
    lowest = std::min(lowest, scores_[id]);
  }
  unknown_score_ = lowest - 10.0;
  std::sort(sorted_.begin(), sorted_.end(), [&](int32_t a, int32_t b) { return vocabulary.text(a) < vocabulary.text(b); });
  for (int32_t id : sorted_) ++first_byte_[static_cast<uint8_t>(vocabulary.text(id)[0]) + 1];
  for (size_t b = 0; b < 256; ++b) first_byte_[b + 1] += first_byte_[b];
}

void UnigramModel::encode(std::string_view piece, ModelScratch& scratch, std::vector<int32_t>& ids) const {
  // symbols[end]: the best way to cut piece[0, end): its last token (-1: an unknown character) and where that begins.
  auto& best = scratch.symbols;
  std::vector<double> score(piece.size() + 1, -std::numeric_limits<double>::infinity());
  best.assign(piece.size() + 1, {});
  score[0] = 0;
  const auto offer = [&](size_t begin, size_t end, int32_t id, double with) {
    if (score[begin] + with <= score[end]) return;
    score[end] = score[begin] + with;
    best[end].id = id;
    best[end].begin = static_cast<uint32_t>(begin);
  };
  for (size_t begin = 0; begin < piece.size();) {
    const size_t character = utf8::decode(piece, begin).length;
    const auto lead = static_cast<uint8_t>(piece[begin]);
    Prefixes range{first_byte_[lead], first_byte_[lead + 1]};
    bool whole_character = false;
    for (size_t length = 1; range.low < range.high; ++length) {
      const std::string_view shortest = vocabulary_.text(sorted_[range.low]);
      if (shortest.size() == length) {
        offer(begin, begin + length, sorted_[range.low], scores_[sorted_[range.low]]);
        whole_character |= length == character;
        while (range.low < range.high && vocabulary_.text(sorted_[range.low]).size() == length) ++range.low;
      }
      if (begin + length == piece.size()) break;
      const auto next = static_cast<uint8_t>(piece[begin + length]);
      const auto byte_at = [&](int32_t id) { return static_cast<uint8_t>(vocabulary_.text(id)[length]); };
      const auto first = sorted_.begin();
      range.low =
          std::partition_point(first + range.low, first + range.high, [&](int32_t id) { return byte_at(id) < next; }) -
          first;
      range.high =
          std::partition_point(first + range.low, first + range.high, [&](int32_t id) { return byte_at(id) == next; }) -
          first;
    }
    if (!whole_character) offer(begin, begin + character, -1, unknown_score_);
    begin += character;
  }
  const size_t first_id = ids.size();
  // From the end; the ids of unknown characters are written in reverse too.
  bool after_unknown = false;
  for (size_t end = piece.size(); end > 0;) {
    const size_t begin = best[end].begin;
    const std::string_view text = piece.substr(begin, end - begin);
    if (best[end].id >= 0) {
      ids.push_back(best[end].id);
      after_unknown = false;
    } else if (std::all_of(text.begin(), text.end(), [&](char c) { return byte_ids_[static_cast<uint8_t>(c)] >= 0; })) {
      for (auto c = text.rbegin(); c != text.rend(); ++c) ids.push_back(byte_ids_[static_cast<uint8_t>(*c)]);
      after_unknown = false;
    } else {
      if (unknown_ && !after_unknown) ids.push_back(*unknown_);
      after_unknown = true;
    }
    end = begin;
  }
  std::reverse(ids.begin() + static_cast<std::ptrdiff_t>(first_id), ids.end());
}

}  // namespace lahar
