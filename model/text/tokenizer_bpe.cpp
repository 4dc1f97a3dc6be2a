#include "text/tokenizer_bpe.h"

#include <algorithm>
#include <bit>
#include <string>
#include <utility>

#include "text/utf8.h"

namespace lahar {
namespace {

uint64_t pair_of(int32_t left, int32_t right) {
  return uint64_t{static_cast<uint32_t>(left)} << 32 | static_cast<uint32_t>(right);
}

// Heap order: lowest rank first, then leftmost.
bool comes_later(const ModelScratch::Candidate& a, const ModelScratch::Candidate& b) {
  return a.order != b.order ? a.order > b.order : a.left > b.left;
}

}  // namespace

MergeTable::MergeTable(size_t expected) : slots_(std::bit_ceil(expected + expected / 2 + 2)) {}

size_t MergeTable::slot_of(uint64_t pair) const {
  const size_t mask = slots_.size() - 1;
  uint64_t hash = pair * 0x9E3779B97F4A7C15u;
  hash ^= hash >> 32;
  size_t slot = hash & mask;
  while (slots_[slot].pair != kEmpty && slots_[slot].pair != pair) slot = (slot + 1) & mask;
  return slot;
}

void MergeTable::add(int32_t left, int32_t right, Merge merge) {
  Slot& slot = slots_[slot_of(pair_of(left, right))];
  if (slot.pair == kEmpty) slot = {pair_of(left, right), merge};
}

const MergeTable::Merge* MergeTable::find(int32_t left, int32_t right) const {
  const Slot& slot = slots_[slot_of(pair_of(left, right))];
  return slot.pair == kEmpty ? nullptr : &slot.merge;
}

std::array<int32_t, 256> find_byte_tokens(const Vocabulary& vocabulary) {
  static constexpr char kDigits[] = "0123456789ABCDEF";
  std::array<int32_t, 256> ids;
  for (int b = 0; b < 256; ++b) {
    const char name[] = {'<', '0', 'x', kDigits[b >> 4], kDigits[b & 15], '>'};
    ids[b] = vocabulary.find({name, sizeof name}).value_or(-1);
  }
  return ids;
}

BpeModel::BpeModel(const Vocabulary& vocabulary, MergeTable merges, const BpeOptions& options)
    : vocabulary_(vocabulary), merges_(std::move(merges)), options_(options) {
  byte_ids_.fill(-1);
  if (options.byte_level) {
    for (int b = 0; b < 256; ++b) {
      std::string name;
      utf8::append(name, utf8::byte_character(static_cast<uint8_t>(b)));
      byte_ids_[b] = vocabulary.find(name).value_or(-1);
    }
  } else if (options.byte_fallback) {
    byte_ids_ = find_byte_tokens(vocabulary);
  }
}

void BpeModel::add_characters(std::string_view piece, std::vector<ModelScratch::Symbol>& symbols) const {
  bool after_unknown = false;
  const auto add = [&](int32_t id, size_t begin, size_t length) {
    symbols.push_back({.id = id, .begin = static_cast<uint32_t>(begin), .length = static_cast<uint32_t>(length)});
  };
  const auto add_unknown = [&](size_t begin, size_t length) {
    if (options_.unknown && !(after_unknown && options_.fuse_unknown)) add(*options_.unknown, begin, length);
    after_unknown = true;
  };
  for (size_t at = 0; at < piece.size();) {
    if (options_.byte_level) {
      const int32_t id = byte_ids_[static_cast<uint8_t>(piece[at])];
      if (id >= 0) {
        add(id, at, 1);
        after_unknown = false;
      } else {
        add_unknown(at, 1);
      }
      ++at;
      continue;
    }
    const size_t length = utf8::decode(piece, at).length;
    const std::string_view character = piece.substr(at, length);
    const auto is_known_byte = [&](char c) { return byte_ids_[static_cast<uint8_t>(c)] >= 0; };
    if (const auto id = vocabulary_.find(character); id && vocabulary_.is_mergeable(*id)) {
      add(*id, at, length);
      after_unknown = false;
    } else if (std::all_of(character.begin(), character.end(), is_known_byte)) {
      for (size_t i = 0; i < length; ++i) add(byte_ids_[static_cast<uint8_t>(character[i])], at + i, 1);
      after_unknown = false;
    } else {
      add_unknown(at, length);
    }
    at += length;
  }
  for (size_t i = 0; i < symbols.size(); ++i) {
    symbols[i].previous = static_cast<int32_t>(i) - 1;
    symbols[i].next = i + 1 < symbols.size() ? static_cast<int32_t>(i) + 1 : -1;
  }
}

void BpeModel::push_candidate(ModelScratch& scratch, int32_t left) const {
  const auto& symbol = scratch.symbols[left];
  if (symbol.next < 0) return;
  const auto& right = scratch.symbols[symbol.next];
  const MergeTable::Merge* merge = merges_.find(symbol.id, right.id);
  if (!merge) return;
  scratch.heap.push_back({static_cast<double>(merge->rank), static_cast<uint32_t>(left), symbol.id, right.id, merge->id, 0});
}

void BpeModel::encode(std::string_view piece, ModelScratch& scratch, std::vector<int32_t>& ids) const {
  if (options_.ignore_merges) {
    std::string spelling;
    if (options_.byte_level) utf8::append_byte_alphabet(spelling, piece);
    const auto id = vocabulary_.find(options_.byte_level ? std::string_view(spelling) : piece);
    if (id && vocabulary_.is_mergeable(*id)) {
      ids.push_back(*id);
      return;
    }
  }
  auto& symbols = scratch.symbols;
  auto& heap = scratch.heap;
  symbols.clear();
  heap.clear();
  add_characters(piece, symbols);
  if (symbols.empty()) return;
  for (size_t i = 0; i + 1 < symbols.size(); ++i) push_candidate(scratch, static_cast<int32_t>(i));
  std::make_heap(heap.begin(), heap.end(), comes_later);

  const auto push = [&](int32_t left) {
    const size_t before = heap.size();
    push_candidate(scratch, left);
    if (heap.size() > before) std::push_heap(heap.begin(), heap.end(), comes_later);
  };
  while (!heap.empty()) {
    std::pop_heap(heap.begin(), heap.end(), comes_later);
    const ModelScratch::Candidate best = heap.back();
    heap.pop_back();
    auto& left = symbols[best.left];
    // Either symbol may have been merged into another since the candidate was made.
    if (left.length == 0 || left.id != best.left_id || left.next < 0 || symbols[left.next].id != best.right_id) continue;
    auto& right = symbols[left.next];
    left.id = best.merged_id;
    left.length += right.length;
    left.next = right.next;
    right.length = 0;
    if (left.next >= 0) symbols[left.next].previous = static_cast<int32_t>(best.left);
    if (left.previous >= 0) push(left.previous);
    push(static_cast<int32_t>(best.left));
  }
  for (int32_t i = 0; i >= 0; i = symbols[i].next) ids.push_back(symbols[i].id);
}

}  // namespace lahar
