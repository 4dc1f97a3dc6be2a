// The pages of one sequence, in order: token t lies in page pages()[t / page_tokens].
// Thread rule: as PagePool, which must outlive it.
#pragma once

#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "kv/page_pool.h"

namespace lahar::kv {

class BlockTable {
 public:
  BlockTable(PagePool& pool, uint32_t page_tokens) : pool_(pool), page_tokens_(page_tokens) {}
  ~BlockTable() { clear(0); }
  BlockTable(const BlockTable&) = delete;
  BlockTable& operator=(const BlockTable&) = delete;

  std::span<const PageId> pages() const { return pages_; }
  // Tokens that the pages hold room for.
  uint64_t capacity() const { return static_cast<uint64_t>(pages_.size()) * page_tokens_; }

  // Takes pages until `tokens` fit. False when the pool has run out: what was taken until then stays, and capacity() tells.
  bool reserve(uint64_t tokens);
  // Gives back the pages that hold none of the first `tokens`; they retire at `retire_at`.
  void truncate(uint64_t tokens, uint64_t retire_at);
  void clear(uint64_t retire_at) { truncate(0, retire_at); }
  // Pages [first, first + count) become the last ones, those behind them move up.
  void move_to_end(size_t first, size_t count);
  // Puts `page` in place `index` and returns the one that was there: each keeps the holders it has.
  PageId exchange(size_t index, PageId page) { return std::exchange(pages_[index], page); }

 private:
  PagePool& pool_;
  uint32_t page_tokens_;
  std::vector<PageId> pages_;
};

}  // namespace lahar::kv
