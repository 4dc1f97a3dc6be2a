// Single values of small tensors, read on the CPU.
#pragma once

#include <cstring>
#include <optional>

#include "format/model_source.h"
#include "quant/float_bits.h"

namespace lahar {

// The value at `index`; nothing where it lies outside the tensor, or is no plain floating-point number.
inline std::optional<float> float_at(const TensorView& tensor, size_t index) {
  const size_t bytes = tensor.dtype == DType::kF32 ? 4 : 2;
  if (tensor.data.size() / bytes <= index) return std::nullopt;
  const std::byte* at = tensor.data.data() + index * bytes;
  if (tensor.dtype == DType::kF32) {
    float value;
    std::memcpy(&value, at, sizeof value);
    return value;
  }
  uint16_t bits;
  std::memcpy(&bits, at, sizeof bits);
  if (tensor.dtype == DType::kBF16) return quant::bf16_to_float(bits);
  if (tensor.dtype == DType::kF16) return quant::half_to_float(bits);
  return std::nullopt;
}

}  // namespace lahar
