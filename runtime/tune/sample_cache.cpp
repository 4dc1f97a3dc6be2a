#include "tune/sample_cache.h"

#include <algorithm>
#include <numeric>
#include <random>

#include "gpu/transfer.h"
#include "ops/kv_type.h"
#include "ops/rope.h"
#include "tune/timed.h"

namespace lahar::tune {
namespace {

constexpr uint32_t kRowsAtOnce = 512;

// In [-1, 1]. The types with scales hold as many even steps, and need the ends of the range among what shares a scale.
float lossless(ops::KvType type, uint32_t dim, uint32_t random) {
  switch (type) {
    case ops::KvType::kI8: return dim == 0 ? 1.0f : static_cast<float>(static_cast<int>(random % 255) - 127) / 127;
    case ops::KvType::kF8: return dim == 0 ? 1.0f : static_cast<float>(static_cast<int>(random % 15) - 7) / 7;
    // Steps of a power of two, which its short scales hold.
    case ops::KvType::kI4:
      return static_cast<float>(static_cast<int>(dim % 16 == 0 ? 0 : dim % 16 == 1 ? 15 : random % 16) - 8) / 8;
    default: return static_cast<float>(static_cast<int>(random % 129) - 64) / 64;
  }
}

}  // namespace

Result<SampleCache> SampleCache::create(gpu::Device& device, const CacheShape& shape, uint32_t tokens, uint32_t context,
                                        uint32_t copies) {
  if (shape.shared_dim > 0 && ops::kv_layer_bytes(shape.type, 1, shape.head_dim).scale_offset !=
                                  ops::kv_layer_bytes(shape.type, 1, shape.head_dim).end)
    return Error{ErrorCode::kUnsupported, "sample keys that are values too have no scales"};
  SampleCache cache;
  cache.shape_ = shape;
  cache.copies_ = copies;
  cache.pages_ = ops::ceil_div(tokens, params::kPageTokens);
  cache.pages_per_slot_ = ops::ceil_div(std::max(context, tokens), params::kPageTokens);
  cache.layer_bytes_ = ops::kv_layer_bytes(shape.type, shape.kv_heads, shape.head_dim).end;
  std::mt19937 random(1);
  cache.values_.resize(size_t{kPeriod} * 2 * shape.kv_heads * shape.head_dim);
  for (size_t i = 0; i < cache.values_.size(); ++i)
    cache.values_[i] = lossless(shape.type, static_cast<uint32_t>(i % shape.head_dim), static_cast<uint32_t>(random()));

  const auto make = [&](uint64_t bytes, const char* name) -> Result<std::unique_ptr<gpu::Buffer>> {
    LAHAR_ASSIGN(gpu::Buffer buffer, device.create_buffer(bytes, gpu::Memory::kDevice, name));
    return std::make_unique<gpu::Buffer>(std::move(buffer));
  };
  LAHAR_ASSIGN(cache.segment_, make(cache.layer_bytes_ * copies * cache.pages_, "sample cache"));
  LAHAR_ASSIGN(cache.segment_table_, make(sizeof(uint64_t), "sample segments"));
  LAHAR_ASSIGN(cache.page_table_, make(uint64_t{cache.pages_per_slot_} * sizeof(uint32_t), "sample pages"));
  cache.segments_ = {*cache.segment_};
  const uint64_t base = cache.segment_->address();
  LAHAR_TRY(gpu::upload(device, std::as_bytes(std::span(&base, 1)), *cache.segment_table_));
  std::vector<uint32_t> pages(cache.pages_per_slot_);  // last page first
  std::iota(pages.rend() - cache.pages_, pages.rend(), 0u);
  LAHAR_TRY(gpu::upload(device, std::as_bytes(std::span(pages)), *cache.page_table_));
  LAHAR_TRY(cache.write(device, tokens));
  return cache;
}

ops::KvRef SampleCache::copy(uint32_t i) const {
  ops::KvRef ref = apart(i);
  ref.shared_dim = shape_.shared_dim;
  return ref;
}

ops::KvRef SampleCache::apart(uint32_t i) const {
  const ops::KvLayerBytes bytes = ops::kv_layer_bytes(shape_.type, shape_.kv_heads, shape_.head_dim);
  ops::KvRef ref;
  ref.segments = segments_;
  ref.segment_table = *segment_table_;
  ref.page_table = *page_table_;
  ref.address = {.segments = segment_table_->address(),
                 .pages = page_table_->address(),
                 .pages_per_slot = pages_per_slot_,
                 .pages_per_segment = pages_,
                 .n_pages = pages_,
                 .page_bytes = static_cast<uint32_t>(layer_bytes_ * copies_),
                 .layer_offset = static_cast<uint32_t>(layer_bytes_ * i),
                 .value_offset = static_cast<uint32_t>(layer_bytes_ * i + bytes.value_offset)};
  ref.type = shape_.type;
  ref.kv_heads = shape_.kv_heads, ref.head_dim = shape_.head_dim;
  return ref;
}

Status SampleCache::write(gpu::Device& device, uint32_t tokens) {
  const uint32_t kv_width = shape_.kv_heads * shape_.head_dim, width = 3 * kv_width;
  for (uint32_t first = 0; first < tokens; first += kRowsAtOnce) {
    const uint32_t rows = std::min(kRowsAtOnce, tokens - first);
    std::vector<float> qkv(size_t{rows} * width);  // q is 0: as many heads as there are KV heads
    for (uint32_t t = 0; t < rows; ++t)
      std::copy_n(values_.begin() + static_cast<ptrdiff_t>(at(first + t, 0, 0)), 2 * kv_width,
                  qkv.begin() + static_cast<ptrdiff_t>(size_t{t} * width + kv_width));
    LAHAR_ASSIGN(const gpu::Buffer in, device.create_buffer(qkv.size() * 4, gpu::Memory::kDevice, "sample keys"));
    LAHAR_ASSIGN(const gpu::Buffer q,
                 device.create_buffer(uint64_t{rows} * kv_width * 4, gpu::Memory::kDevice, "sample queries"));
    LAHAR_TRY(gpu::upload(device, std::as_bytes(std::span(qkv)), in));
    LAHAR_ASSIGN(const TimedStep step, TimedStep::create(device, rows, first));
    gpu::Recorder recorder(device);
    for (uint32_t i = 0; i < copies_; ++i)
      LAHAR_TRY(ops::rope_kv(recorder, {.qkv = {in, width},
                                        .k_offset = kv_width,
                                        .v_offset = 2 * kv_width,
                                        .q = {q, kv_width},
                                        .heads = shape_.kv_heads,
                                        .kv = apart(i),
                                        .pairing = ops::RopePairing::kNone,
                                        .step = step.ref(),
                                        .label = "sample"}));
    LAHAR_TRY(run_once(recorder));
  }
  return {};
}

}  // namespace lahar::tune
