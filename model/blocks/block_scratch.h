// Shares out Scratch::block among what a block needs.
#pragma once

#include "ops/planes.h"

namespace lahar {

// Pieces for steps of `rows` rows, one behind the other. With an empty range it only counts: what it gives is empty.
class BlockScratch {
 public:
  BlockScratch(const gpu::BufferRange& range, uint32_t rows) : range_(range), rows_(rows) {}

  ops::Activations take(uint32_t width) {
    const ops::Planes one = take_planes(1, width);
    return {one.range, one.stride};
  }
  ops::Planes take_planes(uint32_t count, uint32_t width) {
    const uint32_t stride = (width + 3) / 4 * 4, plane = (rows_ * stride + 63) / 64 * 64;
    return {take_bytes(uint64_t{count} * plane * sizeof(float)), stride, plane};
  }
  gpu::BufferRange take_bytes(uint64_t size) {
    const uint64_t first = bytes_;
    bytes_ += size;
    return range_ ? range_.part(first, size) : gpu::BufferRange{};
  }
  uint64_t bytes() const { return bytes_; }

 private:
  gpu::BufferRange range_;
  uint32_t rows_;
  uint64_t bytes_ = 0;
};

}  // namespace lahar
