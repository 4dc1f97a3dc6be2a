// A small KV pool for tests: two layers a page, several segments, page tables that point everywhere but in order.
#pragma once

#include "ops/kv_type.h"
#include "ops/ops_test.h"

namespace lahar::test {

struct KvShape {
  uint32_t slots = 2, pages_per_slot = 8, pages_per_segment = 3, kv_heads = 2, head_dim = 64;
  ops::KvType type = ops::KvType::kF16;
  uint32_t shared_dim = 0;  // above 0: values are that many dims of the keys
};

// Everything lies in the second layer of its page; all bytes that were not set are 0xFF, NaN in fp16 and fp32.
class TestKv {
 public:
  TestKv(gpu::Device& device, const KvShape& shape, uint64_t seed);

  // Random keys and values of about [-1, 1] for indices [0, tokens) of a slot, then upload() at once for all.
  void fill(uint32_t slot, uint32_t tokens);
  void upload();
  void download();  // the pages as the device has them

  // As stored, in the cache's type.
  float key(uint32_t slot, uint32_t head, uint32_t index, uint32_t dim) const { return load(slot, head, index, dim, false); }
  float value(uint32_t slot, uint32_t head, uint32_t index, uint32_t dim) const {
    return load(slot, head, index, dim, shape_.shared_dim == 0);
  }
  // True where every byte of the token's K and V, in all heads, is still 0xFF.
  bool untouched(uint32_t slot, uint32_t index) const;
  // Bytes that are no longer 0xFF, in all pages and layers.
  uint64_t touched_bytes() const;

  // Of one token: K, V and their scales in all heads.
  uint64_t token_bytes() const {
    return (shape_.shared_dim > 0 ? 1 : 2) * uint64_t{shape_.kv_heads} * (token_bytes_ + scale_bytes_);
  }

  const KvShape& shape() const { return shape_; }
  uint32_t capacity() const { return shape_.pages_per_slot * params::kPageTokens; }
  ops::KvRef ref() const;
  // The page that holds token `index` of a slot.
  gpu::BufferRange page(uint32_t slot, uint32_t index) const;
  std::vector<const gpu::Buffer*> buffers() const;

 private:
  // Where a token's elements lie in pages_, and its scales.
  uint64_t data_at(uint32_t slot, uint32_t head, uint32_t index, bool value) const;
  uint64_t scales_at(uint32_t slot, uint32_t head, uint32_t index, bool value) const;
  void fill_token(std::byte* data, std::byte* scales);
  float load(uint32_t slot, uint32_t head, uint32_t index, uint32_t dim, bool value) const;

  gpu::Device& device_;
  KvShape shape_;
  uint32_t token_bytes_ = 0, scale_bytes_ = 0, n_pages_ = 0;
  ops::KvLayerBytes layer_;
  uint64_t page_bytes_ = 0;
  std::mt19937_64 random_;
  std::vector<uint32_t> page_table_;
  std::vector<std::byte> pages_;  // [page][page_bytes]
  std::vector<gpu::Buffer> segments_;
  std::vector<gpu::BufferRange> ranges_;
  gpu::Buffer segment_table_, page_table_buffer_;
};

}  // namespace lahar::test
