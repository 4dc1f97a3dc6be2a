// A KV cache whose contents are known: a few random tokens, repeated, written by the kernel that writes them in a model. The
// values are such that every type of cache holds them without loss, but for the rounding of its scales.
#pragma once

#include <vector>

#include "gpu/device.h"
#include "ops/common.h"

namespace lahar::tune {

struct CacheShape {
  ops::KvType type = ops::KvType::kF16;
  uint32_t kv_heads = 0, head_dim = 0;
  uint32_t shared_dim = 0;  // above 0: as ops::KvRef::shared_dim, of types without scales
  bool operator==(const CacheShape&) const = default;
};

class SampleCache {
 public:
  static constexpr uint32_t kPeriod = 37;  // tokens

  // `copies` caches of `tokens` tokens of one sequence that may have `context`, as the layers of one pool; pages behind the
  // tokens are the first one again. Errors: kLimit, kOutOfMemory, kDeviceLost.
  static Result<SampleCache> create(gpu::Device& device, const CacheShape& shape, uint32_t tokens, uint32_t context,
                                    uint32_t copies);

  uint32_t copies() const { return copies_; }
  ops::KvRef copy(uint32_t i) const;
  float key(uint32_t token, uint32_t head, uint32_t dim) const { return values_[at(token, head, dim)]; }
  float value(uint32_t token, uint32_t head, uint32_t dim) const {
    return values_[at(token, shape_.shared_dim > 0 ? head : shape_.kv_heads + head, dim)];
  }

 private:
  SampleCache() = default;
  size_t at(uint32_t token, uint32_t head, uint32_t dim) const {
    return (size_t{token % kPeriod} * 2 * shape_.kv_heads + head) * shape_.head_dim + dim;
  }
  Status write(gpu::Device& device, uint32_t tokens);
  ops::KvRef apart(uint32_t i) const;  // as if the values had a place of their own, which they have here in any case

  CacheShape shape_;
  uint32_t copies_ = 0, pages_ = 0, pages_per_slot_ = 0;
  uint64_t layer_bytes_ = 0;
  std::vector<float> values_;  // [kPeriod][K heads, then V heads][head_dim]
  std::unique_ptr<gpu::Buffer> segment_, segment_table_, page_table_;
  std::vector<gpu::BufferRange> segments_;
};

}  // namespace lahar::tune
