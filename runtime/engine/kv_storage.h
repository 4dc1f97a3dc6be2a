// The KV pool in device memory: segments of pages, the table of their addresses, and the page tables of the slots.
// Which page belongs to whom is kv::PagePool's business.
#pragma once

#include <memory>
#include <span>
#include <vector>

#include "core/result.h"
#include "gpu/buffer.h"
#include "gpu/device.h"
#include "ops/common.h"

namespace lahar {

// Pages that hold so many tokens.
constexpr uint32_t pages_of(uint32_t tokens) {
  return static_cast<uint32_t>((uint64_t{tokens} + params::kPageTokens - 1) / params::kPageTokens);
}

struct KvLayerGeometry {
  uint32_t kv_heads = 0;
  uint32_t head_dim = 0;
  uint32_t shared_dim = 0;  // as ops::KvRef's
  int32_t source = -1;      // the earlier layer that this one reads instead of keeping its own; -1: none
};

// Byte offsets inside a page; see params::KvAddress for the layout.
struct KvPageLayout {
  ops::KvType type = ops::KvType::kF16;
  std::vector<KvLayerGeometry> layers;
  std::vector<uint32_t> key_offsets, value_offsets;  // by layer
  uint64_t page_bytes = 0;

  static KvPageLayout make(std::vector<KvLayerGeometry> layers, ops::KvType type);
};

class KvStorage {
 public:
  // pages > 0; slots > 0; pages_per_slot > 0. A layout of no bytes (no layer has keys) takes no segments, and there is no
  // page() then. Errors: kOutOfMemory, kLimit (a page larger than an allocation may be).
  static Result<std::unique_ptr<KvStorage>> create(gpu::Device& device, KvPageLayout layout, uint32_t pages, uint32_t slots,
                                                   uint32_t pages_per_slot);

  uint32_t pages() const { return pages_; }
  uint32_t slots() const { return slots_; }
  uint32_t pages_per_slot() const { return pages_per_slot_; }
  uint64_t bytes() const { return layout_.page_bytes * pages_; }
  const KvPageLayout& layout() const { return layout_; }
  // The bytes of one page, all layers of it.
  gpu::BufferRange page(uint32_t index) const {
    return segment_ranges_[index / pages_per_segment_].part(index % pages_per_segment_ * layout_.page_bytes,
                                                            layout_.page_bytes);
  }
  // Whether the buffer is a part of the pool.
  bool owns(const gpu::Buffer& buffer) const {
    for (const gpu::Buffer& segment : segments_)
      if (&segment == &buffer) return true;
    return false;
  }
  // Pages from and to the host, one behind the other: bytes.size() is pages.size() * page_bytes. Steps that touch the pages
  // must have finished. Blocking. Errors: kInvalidArgument, kDeviceLost.
  Status read(std::span<const uint32_t> pages, std::span<std::byte> bytes) const;
  Status write(std::span<const uint32_t> pages, std::span<const std::byte> bytes);
  const gpu::Buffer& page_table() const { return page_table_; }
  // For the ops of one layer. The spans in it live as long as this object.
  ops::KvRef layer(uint32_t index) const;

 private:
  explicit KvStorage(gpu::Device& device) : device_(device) {}
  Status check(std::span<const uint32_t> pages, uint64_t bytes) const;
  // The first of `pages` and those after it that lie behind it on the device.
  gpu::BufferRange run(std::span<const uint32_t> pages) const;

  gpu::Device& device_;
  KvPageLayout layout_;
  uint32_t pages_ = 0, slots_ = 0, pages_per_slot_ = 0, pages_per_segment_ = 0;
  std::vector<gpu::Buffer> segments_;
  std::vector<gpu::BufferRange> segment_ranges_;
  gpu::Buffer segment_table_, page_table_;
};

}  // namespace lahar
