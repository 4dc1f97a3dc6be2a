#include "engine/kv_storage.h"

#include <algorithm>

#include "gpu/transfer.h"
#include "ops/kv_type.h"

namespace lahar {
namespace {

constexpr uint64_t kSegmentBytes = 1ull << 30;  // of one segment at most, so that a fragmented heap can still hold the pool

}  // namespace

KvPageLayout KvPageLayout::make(std::vector<KvLayerGeometry> layers, ops::KvType type) {
  KvPageLayout layout;
  layout.type = type;
  uint64_t offset = 0;
  for (const KvLayerGeometry& g : layers) {
    if (g.source >= 0) {
      layout.key_offsets.push_back(layout.key_offsets[static_cast<size_t>(g.source)]);
      layout.value_offsets.push_back(layout.value_offsets[static_cast<size_t>(g.source)]);
      continue;
    }
    const ops::KvLayerBytes bytes = ops::kv_layer_bytes(type, g.kv_heads, g.head_dim, g.shared_dim > 0);
    layout.key_offsets.push_back(static_cast<uint32_t>(offset));
    layout.value_offsets.push_back(static_cast<uint32_t>(offset + bytes.value_offset));
    offset += bytes.end;
  }
  layout.page_bytes = offset;
  layout.layers = std::move(layers);
  return layout;
}

Result<std::unique_ptr<KvStorage>> KvStorage::create(gpu::Device& device, KvPageLayout layout, uint32_t pages,
                                                     uint32_t slots, uint32_t pages_per_slot) {
  const uint64_t limit = std::min({kSegmentBytes, device.caps().max_allocation, device.caps().max_buffer});
  if (layout.page_bytes > std::min<uint64_t>(limit, UINT32_MAX))
    return Error{ErrorCode::kLimit, "a KV page needs " + std::to_string(layout.page_bytes) +
                                        " bytes, more than the device allocates at once (" + std::to_string(limit) + ")"};
  auto storage = std::unique_ptr<KvStorage>(new KvStorage(device));
  storage->pages_ = pages;
  storage->slots_ = slots;
  storage->pages_per_slot_ = pages_per_slot;
  storage->pages_per_segment_ =
      static_cast<uint32_t>(std::min<uint64_t>(limit / std::max<uint64_t>(layout.page_bytes, 1), pages));

  std::vector<uint64_t> bases;
  for (uint32_t first = 0; first < pages && layout.page_bytes > 0; first += storage->pages_per_segment_) {
    const uint32_t count = std::min(storage->pages_per_segment_, pages - first);
    LAHAR_ASSIGN(gpu::Buffer segment, device.create_buffer(layout.page_bytes * count, gpu::Memory::kDevice,
                                                           "kv segment " + std::to_string(bases.size())));
    bases.push_back(segment.address());
    storage->segments_.push_back(std::move(segment));
  }
  for (const gpu::Buffer& segment : storage->segments_) storage->segment_ranges_.emplace_back(segment);

  if (bases.empty()) bases.push_back(0);
  LAHAR_ASSIGN(storage->segment_table_,
               device.create_buffer(bases.size() * sizeof(uint64_t), gpu::Memory::kDevice, "kv segment table"));
  LAHAR_TRY(gpu::upload(device, std::as_bytes(std::span(bases)), storage->segment_table_));
  const std::vector<uint32_t> no_pages(static_cast<size_t>(slots) * pages_per_slot, 0);
  LAHAR_ASSIGN(storage->page_table_,
               device.create_buffer(no_pages.size() * sizeof(uint32_t), gpu::Memory::kDevice, "kv page tables"));
  LAHAR_TRY(gpu::upload(device, std::as_bytes(std::span(no_pages)), storage->page_table_));
  storage->layout_ = std::move(layout);
  return storage;
}

Status KvStorage::check(std::span<const uint32_t> pages, uint64_t bytes) const {
  const bool known = std::all_of(pages.begin(), pages.end(), [this](uint32_t page) { return page < pages_; });
  if (known && bytes == pages.size() * layout_.page_bytes) return {};
  return Error{ErrorCode::kInvalidArgument, std::to_string(pages.size()) + " KV pages of the pool's " +
                                                std::to_string(pages_) + " in " + std::to_string(bytes) +
                                                " bytes, expected " + std::to_string(layout_.page_bytes) + " each"};
}

gpu::BufferRange KvStorage::run(std::span<const uint32_t> pages) const {
  uint64_t count = 1;
  while (count < pages.size() && pages[count] == pages[0] + count && pages[count] % pages_per_segment_ != 0) ++count;
  return segment_ranges_[pages[0] / pages_per_segment_].part(pages[0] % pages_per_segment_ * layout_.page_bytes,
                                                             count * layout_.page_bytes);
}

Status KvStorage::read(std::span<const uint32_t> pages, std::span<std::byte> bytes) const {
  LAHAR_TRY(check(pages, bytes.size()));
  while (!bytes.empty()) {
    const gpu::BufferRange range = run(pages);
    LAHAR_TRY(gpu::download(device_, range, bytes.first(range.size)));
    pages = pages.subspan(range.size / layout_.page_bytes), bytes = bytes.subspan(range.size);
  }
  return {};
}

Status KvStorage::write(std::span<const uint32_t> pages, std::span<const std::byte> bytes) {
  LAHAR_TRY(check(pages, bytes.size()));
  while (!bytes.empty()) {
    const gpu::BufferRange range = run(pages);
    LAHAR_TRY(gpu::upload(device_, bytes.first(range.size), range));
    pages = pages.subspan(range.size / layout_.page_bytes), bytes = bytes.subspan(range.size);
  }
  return {};
}

ops::KvRef KvStorage::layer(uint32_t index) const {
  ops::KvRef ref;
  ref.segments = segment_ranges_;
  ref.segment_table = segment_table_;
  ref.page_table = page_table_;
  ref.address = {.segments = segment_table_.address(),
                 .pages = page_table_.address(),
                 .pages_per_slot = pages_per_slot_,
                 .pages_per_segment = pages_per_segment_,
                 .n_pages = pages_,
                 .page_bytes = static_cast<uint32_t>(layout_.page_bytes),
                 .layer_offset = layout_.key_offsets[index],
                 .value_offset = layout_.value_offsets[index]};
  ref.type = layout_.type;
  ref.kv_heads = layout_.layers[index].kv_heads;
  ref.head_dim = layout_.layers[index].head_dim;
  ref.shared_dim = layout_.layers[index].shared_dim;
  return ref;
}

}  // namespace lahar
