#include "kv/block_table.h"

#include <algorithm>

namespace lahar::kv {

bool BlockTable::reserve(uint64_t tokens) {
  while (capacity() < tokens) {
    const auto page = pool_.allocate();
    if (!page) return false;
    pages_.push_back(*page);
  }
  return true;
}

void BlockTable::truncate(uint64_t tokens, uint64_t retire_at) {
  const uint64_t keep = (tokens + page_tokens_ - 1) / page_tokens_;
  while (pages_.size() > keep) {
    pool_.release(pages_.back(), retire_at);
    pages_.pop_back();
  }
}

void BlockTable::move_to_end(size_t first, size_t count) {
  const auto begin = pages_.begin() + static_cast<ptrdiff_t>(std::min(first, pages_.size()));
  std::rotate(begin, begin + static_cast<ptrdiff_t>(std::min<size_t>(count, pages_.end() - begin)), pages_.end());
}

}  // namespace lahar::kv
