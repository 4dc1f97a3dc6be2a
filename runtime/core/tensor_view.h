// A tensor as it lies in a file or in memory. Owns nothing: the file that it came from must outlive it.
#pragma once

#include <cstddef>
#include <span>
#include <string>

#include "core/dtype.h"
#include "core/shape.h"

namespace lahar {

struct TensorView {
  std::string name;
  DType dtype = DType::kF32;
  Shape shape;                      // outermost first; the last extent is contiguous in memory
  std::span<const std::byte> data;  // exactly byte_size(dtype, shape.elements()) bytes, checked by whoever made the view
};

}  // namespace lahar
