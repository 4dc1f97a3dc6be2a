// Which pages of the KV pool are free, and who shares the others. Plain bookkeeping: no Vulkan, no memory of its own.
// Thread rule: one thread at a time.
#pragma once

#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

namespace lahar::kv {

using PageId = uint32_t;

class PagePool {
 public:
  explicit PagePool(uint32_t pages);

  uint32_t size() const { return static_cast<uint32_t>(references_.size()); }
  uint32_t free_pages() const { return static_cast<uint32_t>(free_.size()); }
  // Pages that were given back but that submitted work may still touch.
  uint32_t retiring_pages() const { return static_cast<uint32_t>(retiring_.size()); }

  // A page with one reference; nullopt when none is free.
  std::optional<PageId> allocate();
  // One more holder of a page that has a holder.
  void retain(PageId page);
  // One holder fewer. The last one's page is free again once the device's timeline has reached `retire_at`.
  void release(PageId page, uint64_t retire_at);
  // Frees what was waiting for timeline values up to `completed`.
  void collect(uint64_t completed);

  uint32_t references(PageId page) const { return references_[page]; }

 private:
  std::vector<uint32_t> references_;  // by page; 0: free or retiring
  std::vector<PageId> free_;          // the next one to hand out is at the back
  std::vector<std::pair<uint64_t, PageId>> retiring_;
};

}  // namespace lahar::kv
