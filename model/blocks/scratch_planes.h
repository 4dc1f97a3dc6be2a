// Shares out Scratch::block where some of what a block needs are several activations of one shape.
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
    const uint64_t bytes = uint64_t{count} * plane * sizeof(float), first = bytes_;
    bytes_ += bytes;
    return {range_ ? range_.part(first, bytes) : gpu::BufferRange{}, stride, plane};
  }
  uint64_t bytes() const { return bytes_; }

 private:
  gpu::BufferRange range_;
  uint32_t rows_;
  uint64_t bytes_ = 0;
};

}  // namespace lahar
