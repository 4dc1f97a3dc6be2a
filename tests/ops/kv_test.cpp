#include "ops/kv_test.h"

#include <bit>

#include "quant/float_bits.h"

namespace lahar::test {

TestKv::TestKv(gpu::Device& device, const KvShape& shape, uint64_t seed) : device_(device), shape_(shape), random_(seed) {
  token_bytes_ = ops::kv_token_bytes(shape.type, shape.head_dim);
  scale_bytes_ = ops::kv_scale_bytes(shape.type, shape.head_dim);
  layer_ = ops::kv_layer_bytes(shape.type, shape.kv_heads, shape.head_dim, shape.shared_dim > 0);
  // Two pages more than the tables name: nobody may touch them.
  n_pages_ = shape.slots * shape.pages_per_slot + 2;
  page_bytes_ = 2 * layer_.end;
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

uint64_t TestKv::data_at(uint32_t slot, uint32_t head, uint32_t index, bool value) const {
  const uint64_t page = page_table_[slot * shape_.pages_per_slot + index / params::kPageTokens];
  const uint64_t token = uint64_t{head} * params::kPageTokens + index % params::kPageTokens;
  return page * page_bytes_ + layer_.end + (value ? layer_.value_offset : 0) + token * token_bytes_;
}

uint64_t TestKv::scales_at(uint32_t slot, uint32_t head, uint32_t index, bool value) const {
  const uint64_t page = page_table_[slot * shape_.pages_per_slot + index / params::kPageTokens];
  const uint64_t part = shape_.shared_dim > 0 ? head : 2 * uint64_t{head} + (value ? 1 : 0);
  const uint64_t token = part * params::kPageTokens + index % params::kPageTokens;
  return page * page_bytes_ + layer_.end + layer_.scale_offset + token * scale_bytes_;
}

float TestKv::load(uint32_t slot, uint32_t head, uint32_t index, uint32_t dim, bool value) const {
  const std::byte* data = pages_.data() + data_at(slot, head, index, value);
  const std::byte* scales = pages_.data() + scales_at(slot, head, index, value);
  const auto word = [](const std::byte* from) {
    uint32_t w;
    std::memcpy(&w, from, 4);
    return w;
  };
  const auto half = [](const std::byte* from) {
    uint16_t h;
    std::memcpy(&h, from, 2);
    return h;
  };
  const auto byte = std::to_integer<uint8_t>(data[dim < token_bytes_ ? dim : 0]);
  switch (shape_.type) {
    case ops::KvType::kF32: return std::bit_cast<float>(word(data + 4 * dim));
    case ops::KvType::kBF16: return std::bit_cast<float>(uint32_t{half(data + 2 * dim)} << 16);
    case ops::KvType::kI8: return static_cast<float>(static_cast<int8_t>(byte)) * std::bit_cast<float>(word(scales));
    // The scale holds the 2^120 by which the bits, read as a float, are too small.
    case ops::KvType::kF8:
      return std::bit_cast<float>((byte & 0x80u) << 24 | (byte & 0x7fu) << 20) * std::bit_cast<float>(word(scales));
    case ops::KvType::kI4: {
      // A last group of at most 16 dims has bytes.
      const uint32_t tail = shape_.head_dim % 32 <= 16 ? shape_.head_dim / 32 * 32 : shape_.head_dim;
      const uint32_t quant = dim >= tail ? std::to_integer<uint32_t>(data[tail / 2 + dim - tail])
                                         : word(data + dim / 8 * 4) >> (4 * (dim % 8)) & 15;
      const std::byte* group = scales + dim / 32 * 4;
      if (dim >= tail)
        return static_cast<float>(quant) * quant::half_to_float(half(group)) + quant::half_to_float(half(group + 2));
      // Sixteen dims have a scale (5 bits of exponent, 3 of mantissa) and a zero point in eighths of it.
      const std::byte* half_group = group + dim % 32 / 16 * 2;
      const float scale = std::bit_cast<float>((std::to_integer<uint32_t>(half_group[0]) << 20) + (107u << 23));
      return (static_cast<float>(quant) + static_cast<int8_t>(half_group[1]) / 8.0f) * scale;
    }
    default: return quant::half_to_float(half(data + 2 * dim));
  }
}

// Elements and scales as the kernel that writes them could have left them.
void TestKv::fill_token(std::byte* data, std::byte* scales) {
  std::uniform_real_distribution<float> uniform(-1, 1);
  const auto put = [](std::byte* to, auto v) { std::memcpy(to, &v, sizeof v); };
  for (uint32_t dim = 0; dim < shape_.head_dim; ++dim) {
    const float v = uniform(random_);
    switch (shape_.type) {
      case ops::KvType::kF32: put(data + 4 * dim, v); break;
      case ops::KvType::kBF16: put(data + 2 * dim, static_cast<uint16_t>(std::bit_cast<uint32_t>(v) >> 16)); break;
      case ops::KvType::kI8: put(data + dim, static_cast<int8_t>(127 * v)); break;
      case ops::KvType::kF8: {  // 8 is the smallest normal number, 0x7e the largest
        const auto code = static_cast<uint8_t>(8 + random_() % (0x7f - 8));
        put(data + dim, static_cast<uint8_t>(random_() % 16 == 0 ? 0 : code | (v < 0 ? 0x80 : 0)));
        break;
      }
      case ops::KvType::kI4:
        if (dim % 32 < 16) put(data + dim / 32 * 16 + dim % 32, static_cast<uint8_t>(random_()));
        break;
      default: put(data + 2 * dim, quant::float_to_half(v));
    }
  }
  const float scale = 0.75f + 0.25f * uniform(random_);
  if (shape_.type == ops::KvType::kI8) put(scales, scale / 127);
  if (shape_.type == ops::KvType::kF8) put(scales, std::ldexp(scale / 448, 120));
  if (shape_.type == ops::KvType::kI4)
    for (uint32_t group = 0; group < scale_bytes_; group += 4) {
      if (group / 4 * 32 + 16 >= shape_.head_dim) {
        put(scales + group, quant::float_to_half(scale / 128));
        put(scales + group + 2, quant::float_to_half(-scale + 0.1f * uniform(random_)));
        continue;
      }
      for (uint32_t half = 0; half < 4; half += 2) {
        put(scales + group + half, static_cast<uint8_t>(136 - random_() % 8));  // 1/8 down to 1/16
        put(scales + group + half + 1, static_cast<int8_t>(-64 + static_cast<int>(random_() % 16)));
      }
    }
}

void TestKv::fill(uint32_t slot, uint32_t tokens) {
  for (uint32_t index = 0; index < tokens; ++index)
    for (uint32_t head = 0; head < shape_.kv_heads; ++head)
      for (const bool value : shape_.shared_dim > 0 ? std::vector{false} : std::vector{false, true})
        fill_token(pages_.data() + data_at(slot, head, index, value), pages_.data() + scales_at(slot, head, index, value));
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
    for (const bool value : shape_.shared_dim > 0 ? std::vector{false} : std::vector{false, true}) {
      const std::byte* data = pages_.data() + data_at(slot, head, index, value);
      const std::byte* scales = pages_.data() + scales_at(slot, head, index, value);
      const auto set = [](std::byte b) { return b != std::byte{0xFF}; };
      if (std::any_of(data, data + token_bytes_, set) || std::any_of(scales, scales + scale_bytes_, set)) return false;
    }
  return true;
}

uint64_t TestKv::touched_bytes() const {
  return static_cast<uint64_t>(
      std::count_if(pages_.begin(), pages_.end(), [](std::byte b) { return b != std::byte{0xFF}; }));
}

gpu::BufferRange TestKv::page(uint32_t slot, uint32_t index) const {
  const uint32_t number = page_table_[slot * shape_.pages_per_slot + index / params::kPageTokens];
  return ranges_[number / shape_.pages_per_segment].part(number % shape_.pages_per_segment * page_bytes_, page_bytes_);
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
                      .layer_offset = static_cast<uint32_t>(layer_.end),
                      .value_offset = static_cast<uint32_t>(layer_.end + layer_.value_offset)},
          .type = shape_.type,
          .kv_heads = shape_.kv_heads,
          .head_dim = shape_.head_dim,
          .shared_dim = shape_.shared_dim};
}

std::vector<const gpu::Buffer*> TestKv::buffers() const {
  std::vector<const gpu::Buffer*> all{&segment_table_, &page_table_buffer_};
  for (const gpu::Buffer& segment : segments_) all.push_back(&segment);
  return all;
}

}  // namespace lahar::test
