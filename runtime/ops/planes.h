// Several activations of the same shape in one piece of memory.
#pragma once

#include "ops/common.h"

namespace lahar::ops {

// [count][bucket, width]: plane i begins i * plane_floats behind the first.
struct Planes {
  gpu::BufferRange range;
  uint32_t stride = 0;        // floats between rows
  uint32_t plane_floats = 0;  // a multiple of 4

  Activations operator[](uint32_t i) const {
    const uint64_t offset = uint64_t{i} * plane_floats * sizeof(float);
    return {range.part(offset, uint64_t{plane_floats} * sizeof(float)), stride};
  }
};

}  // namespace lahar::ops
