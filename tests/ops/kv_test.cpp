#include "ops/kv_test.h"

#include "quant/float_bits.h"

namespace lahar::test {

TestKv::TestKv(gpu::Device& device, const KvShape& shape, uint64_t seed) : device_(device), shape_(shape), random_(seed) {
  element_ = shape.type == ops::KvType::kF32 ? 4 : 2;
  // Two pages more than the tables name: nobody may touch them.
  n_pages_ = shape.slots * shape.pages_per_slot + 2;
  half_bytes_ = uint64_t{shape.kv_heads} * params::kPageTokens * shape.head_dim * element_;
  page_bytes_ = 4 * half_bytes_;
  std::vector<uint32_t> order(n_pages_);
  std::iota(order.begin(), order.end(), 0u);
  std::shuffle(order.begin(), order.end(), random_);
  page_table_.assign(order.begin(), order.begin() + shape.slots * shape.pages_per_slot);
  pages_.assign(n_pages_ * page_bytes_, std::byte{0xFF});

  std::vector<uint64_t> bases;
  for (uint32_t first = 0; first < n_pages_; first += shape.pages_per_segment) {
    const uint32_t count = std::min(shape.pages_per_segment, n_pages_ - first);
    segments_.push_back(make_buffer(device, count * page_bytes_, gpu::Memory::kDevice, "kv segment"));
    bases.push_back(segments_.back().address());
  }
  for (const gpu::Buffer& segment : segments_) ranges_.emplace_back(segment);
  segment_table_ = to_device(device, bases, "kv segment table");
  page_table_buffer_ = to_device(device, page_table_, "page table");
  upload();
}

uint64_t TestKv::at(uint32_t slot, uint32_t head, uint32_t index, uint32_t dim, bool value) const {
  const uint64_t page = page_table_[slot * shape_.pages_per_slot + index / params::kPageTokens];
  const uint64_t within = (uint64_t{head} * params::kPageTokens + index % params::kPageTokens) * shape_.head_dim + dim;
  return page * page_bytes_ + (value ? 3 : 2) * half_bytes_ + within * element_;
}

float TestKv::load(uint32_t slot, uint32_t head, uint32_t index, uint32_t dim, bool value) const {
  const std::byte* from = pages_.data() + at(slot, head, index, dim, value);
  if (element_ == 4) {
    float v;
    std::memcpy(&v, from, 4);
    return v;
  }
  uint16_t h;
  std::memcpy(&h, from, 2);
  return quant::half_to_float(h);
}

void TestKv::fill(uint32_t slot, uint32_t tokens) {
  std::uniform_real_distribution<float> uniform(-1, 1);
  for (uint32_t index = 0; index < tokens; ++index)
    for (uint32_t head = 0; head < shape_.kv_heads; ++head)
      for (uint32_t dim = 0; dim < shape_.head_dim; ++dim)
        for (const bool value : {false, true}) {
          const float v = uniform(random_);
          std::byte* to = pages_.data() + at(slot, head, index, dim, value);
          const uint16_t h = quant::float_to_half(v);
          if (element_ == 4) std::memcpy(to, &v, 4);
          else std::memcpy(to, &h, 2);
        }
}

void TestKv::upload() {
  for (size_t i = 0; i < segments_.size(); ++i) {
    const std::span<const std::byte> all(pages_);
    const auto status =
        gpu::upload(device_, all.subspan(i * shape_.pages_per_segment * page_bytes_, segments_[i].size()), segments_[i]);
    ASSERT_TRUE(status.ok()) << why(status);
  }
}

void TestKv::download() {
  for (size_t i = 0; i < segments_.size(); ++i) {
    const std::vector<std::byte> bytes = from_device_bytes(device_, segments_[i]);
    std::copy(bytes.begin(), bytes.end(),
              pages_.begin() + static_cast<ptrdiff_t>(i * shape_.pages_per_segment * page_bytes_));
  }
}

bool TestKv::untouched(uint32_t slot, uint32_t index) const {
  for (uint32_t head = 0; head < shape_.kv_heads; ++head)
    for (const bool value : {false, true}) {
      const std::byte* from = pages_.data() + at(slot, head, index, 0, value);
      for (uint32_t i = 0; i < shape_.head_dim * element_; ++i)
        if (from[i] != std::byte{0xFF}) return false;
    }
  return true;
}

uint64_t TestKv::touched_bytes() const {
  return static_cast<uint64_t>(
      std::count_if(pages_.begin(), pages_.end(), [](std::byte b) { return b != std::byte{0xFF}; }));
}

ops::KvRef TestKv::ref() const {
  return {.segments = ranges_,
          .segment_table = segment_table_,
          .page_table = page_table_buffer_,
          .address = {.segments = segment_table_.address(),
                      .pages = page_table_buffer_.address(),
                      .pages_per_slot = shape_.pages_per_slot,
                      .pages_per_segment = shape_.pages_per_segment,
                      .n_pages = n_pages_,
                      .page_bytes = static_cast<uint32_t>(page_bytes_),
                      .layer_offset = static_cast<uint32_t>(2 * half_bytes_),
                      .value_offset = static_cast<uint32_t>(3 * half_bytes_)},
          .type = shape_.type,
          .kv_heads = shape_.kv_heads,
          .head_dim = shape_.head_dim};
}

std::vector<const gpu::Buffer*> TestKv::buffers() const {
  std::vector<const gpu::Buffer*> all{&segment_table_, &page_table_buffer_};
  for (const gpu::Buffer& segment : segments_) all.push_back(&segment);
  return all;
}

}  // namespace lahar::test
