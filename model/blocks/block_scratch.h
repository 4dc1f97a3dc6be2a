// Activations of a block's own, one behind the other in Scratch::block.
#pragma once

#include "blocks/forward.h"

namespace lahar {

constexpr uint32_t row_stride(uint32_t width) { return (width + 3) / 4 * 4; }

// Bytes that ScratchRows takes for rows of these widths.
template <typename... Width>
uint64_t scratch_rows_bytes(uint32_t rows, Width... width) {
  return (0 + ... + (uint64_t{rows} * row_stride(width) * sizeof(float)));
}

class ScratchRows {
 public:
  ScratchRows(const gpu::BufferRange& block, uint32_t rows) : block_(block), rows_(rows) {}

  ops::Activations take(uint32_t width) {
    const uint64_t bytes = scratch_rows_bytes(rows_, width);
    const ops::Activations a{block_.part(offset_, bytes), row_stride(width)};
    offset_ += bytes;
    return a;
  }

  // What is left.
  gpu::BufferRange rest() const { return block_.part(offset_, block_.size - offset_); }

 private:
  gpu::BufferRange block_;
  uint32_t rows_;
  uint64_t offset_ = 0;
};

}  // namespace lahar
