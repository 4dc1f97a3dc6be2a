#include "text/tokenizer_spm.h"

#include <algorithm>
#include <utility>

#include "text/tokenizer_bpe.h"
#include "text/utf8.h"

namespace lahar {
namespace {

bool comes_later(const ModelScratch::Candidate& a, const ModelScratch::Candidate& b) {
  return a.order != b.order ? a.order > b.order : a.left > b.left;
}

}  // namespace

SpmModel::SpmModel(const Vocabulary& vocabulary, std::vector<float> scores, std::optional<int32_t> unknown)
    : vocabulary_(vocabulary), scores_(std::move(scores)), unknown_(unknown), byte_ids_(find_byte_tokens(vocabulary)) {}

std::optional<int32_t> SpmModel::mergeable(std::string_view text) const {
  const auto id = vocabulary_.find(text);
  return id && vocabulary_.is_mergeable(*id) ? id : std::nullopt;
}

bool SpmModel::push_candidate(std::string_view piece, ModelScratch& scratch, int32_t left) const {
  const auto& symbol = scratch.symbols[left];
  if (symbol.next < 0) return false;
  const uint32_t length = symbol.length + scratch.symbols[symbol.next].length;
  const auto id = mergeable(piece.substr(symbol.begin, length));
  if (!id) return false;
  scratch.heap.push_back({.order = -static_cast<double>(scores_[*id]),
                          .left = static_cast<uint32_t>(left),
                          .merged_id = *id,
                          .length = length});
  return true;
}

void SpmModel::encode(std::string_view piece, ModelScratch& scratch, std::vector<int32_t>& ids) const {
  auto& symbols = scratch.symbols;
  auto& heap = scratch.heap;
  symbols.clear();
  heap.clear();
  for (size_t at = 0; at < piece.size();) {
    const uint32_t length = utf8::decode(piece, at).length;
    const auto index = static_cast<int32_t>(symbols.size());
    symbols.push_back({.id = mergeable(piece.substr(at, length)).value_or(-1),
                       .previous = index - 1,
                       .next = at + length < piece.size() ? index + 1 : -1,
                       .begin = static_cast<uint32_t>(at),
                       .length = length});
    at += length;
  }
  if (symbols.empty()) return;
  for (size_t i = 0; i + 1 < symbols.size(); ++i) push_candidate(piece, scratch, static_cast<int32_t>(i));
  std::make_heap(heap.begin(), heap.end(), comes_later);

  const auto push = [&](int32_t left) {
    if (push_candidate(piece, scratch, left)) std::push_heap(heap.begin(), heap.end(), comes_later);
  };
  while (!heap.empty()) {
    std::pop_heap(heap.begin(), heap.end(), comes_later);
    const ModelScratch::Candidate best = heap.back();
    heap.pop_back();
    auto& left = symbols[best.left];
    // Symbols only grow, so the length of both tells whether either has merged since the candidate was made.
    if (left.length == 0 || left.next < 0 || left.length + symbols[left.next].length != best.length) continue;
    auto& right = symbols[left.next];
    left.id = best.merged_id;
    left.length = best.length;
    left.next = right.next;
    right.length = 0;
    if (left.next >= 0) symbols[left.next].previous = static_cast<int32_t>(best.left);
    if (left.previous >= 0) push(left.previous);
    push(static_cast<int32_t>(best.left));
  }
  for (int32_t i = 0; i >= 0; i = symbols[i].next) {
    const auto& symbol = symbols[i];
    if (symbol.id >= 0) {
      ids.push_back(symbol.id);
      continue;
    }
    const std::string_view bytes = piece.substr(symbol.begin, symbol.length);
    const bool spelled =
        std::all_of(bytes.begin(), bytes.end(), [&](char c) { return byte_ids_[static_cast<uint8_t>(c)] >= 0; });
    if (spelled)
      for (char c : bytes) ids.push_back(byte_ids_[static_cast<uint8_t>(c)]);
    else if (unknown_) ids.push_back(*unknown_);
  }
}

}  // namespace lahar
