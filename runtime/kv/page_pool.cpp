#include "kv/page_pool.h"

#include <algorithm>
#include <cassert>

namespace lahar::kv {

PagePool::PagePool(uint32_t pages) : references_(pages, 0), free_(pages) {
  for (uint32_t i = 0; i < pages; ++i) free_[i] = pages - 1 - i;  // page 0 goes out first
}

std::optional<PageId> PagePool::allocate() {
  if (free_.empty()) return std::nullopt;
  const PageId page = free_.back();
  free_.pop_back();
  references_[page] = 1;
  return page;
}

void PagePool::retain(PageId page) {
  assert(references_[page] > 0);
  ++references_[page];
}

void PagePool::release(PageId page, uint64_t retire_at) {
  assert(references_[page] > 0);
  if (--references_[page] == 0) retiring_.emplace_back(retire_at, page);
}

void PagePool::collect(uint64_t completed) {
  const auto still_in_use = [completed](const auto& entry) { return entry.first > completed; };
  const auto done = std::partition(retiring_.begin(), retiring_.end(), still_in_use);
  for (auto it = done; it != retiring_.end(); ++it) free_.push_back(it->second);
  retiring_.erase(done, retiring_.end());
}

}  // namespace lahar::kv
