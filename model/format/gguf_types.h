// The numbers by which GGUF names element types.
#pragma once

#include <cstdint>
#include <optional>

#include "core/dtype.h"

namespace lahar::detail {

struct GgufTensorType {
  uint32_t id;
  DType dtype;
};

// The gaps are types that were withdrawn, and those that exist in memory alone.
inline constexpr GgufTensorType kGgufTensorTypes[] = {
    {0, DType::kF32},      {1, DType::kF16},    {2, DType::kQ4_0},    {3, DType::kQ4_1},     {6, DType::kQ5_0},
    {7, DType::kQ5_1},     {8, DType::kQ8_0},   {10, DType::kQ2_K},   {11, DType::kQ3_K},    {12, DType::kQ4_K},
    {13, DType::kQ5_K},    {14, DType::kQ6_K},  {15, DType::kQ8_K},   {16, DType::kIQ2_XXS}, {17, DType::kIQ2_XS},
    {18, DType::kIQ3_XXS}, {19, DType::kIQ1_S}, {20, DType::kIQ4_NL}, {21, DType::kIQ3_S},   {22, DType::kIQ2_S},
    {23, DType::kIQ4_XS},  {24, DType::kI8},    {25, DType::kI16},    {26, DType::kI32},     {27, DType::kI64},
    {28, DType::kF64},     {29, DType::kIQ1_M}, {30, DType::kBF16},   {34, DType::kTQ1_0},   {35, DType::kTQ2_0},
    {39, DType::kMXFP4},
};

inline std::optional<DType> dtype_of_gguf(uint32_t id) {
  for (const GgufTensorType& known : kGgufTensorTypes)
    if (known.id == id) return known.dtype;
  return std::nullopt;
}

inline std::optional<uint32_t> gguf_id_of(DType dtype) {
  for (const GgufTensorType& known : kGgufTensorTypes)
    if (known.dtype == dtype) return known.id;
  return std::nullopt;
}

}  // namespace lahar::detail
