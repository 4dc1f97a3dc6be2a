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
    {0, DType::kF32},
    {1, DType::kF16},
    {2, DType::kQ4_0},
    {3, DType::kQ4_1},
    {6, DType::kQ5_0},
    {7, DType::kQ5_1},
    {8, DType::kQ8_0},
    {10, DType::kQ2_K},
    {11, DType::kQ3_K},
    {12, DType::kQ4_K},
    {13, DType::kQ5_K},
    {14, DType::kQ6_K},
    {15, DType::kQ8_K},
    {16, DType::kIQ2_XXS},
    {17, DType::kIQ2_XS},
    {18, DType::kIQ3_XXS},
    {19, DType::kIQ1_S},
    {20, DType::kIQ4_NL},
    {21, DType::kIQ3_S},
    {22, DType::kIQ2_S},
    {23, DType::kIQ4_XS},
    {24, DType::kI8},
    {25, DType::kI16},
    {26, DType::kI32},
    {27, DType::kI64},
    {28, DType::kF64},
    {29, DType::kIQ1_M},
    {30, DType::kBF16},
    {34, DType::kTQ1_0},
    {35, DType::kTQ2_0},
    {39, DType::kMXFP4},
    // Lahar's own, for want of one that all agree on: fp8 e4m3, the letters LHF8 for a number. The scales of matrix NAME are
    // tensor NAME_scale, F32 [rows, groups of 128 columns]; see weight_plan.cpp.
    {0x3846484c, DType::kF8E4M3},
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

// general.file_type of a model whose matrices are mostly of this type; nullopt where there is no such number.
inline std::optional<uint32_t> gguf_file_type(DType dtype) {
  switch (dtype) {
    case DType::kF32: return 0;
    case DType::kF16: return 1;
    case DType::kQ4_0: return 2;
    case DType::kQ4_1: return 3;
    case DType::kQ8_0: return 7;
    case DType::kQ5_0: return 8;
    case DType::kQ5_1: return 9;
    case DType::kQ2_K: return 10;
    case DType::kQ3_K: return 11;
    case DType::kQ4_K: return 14;
    case DType::kQ5_K: return 16;
    case DType::kQ6_K: return 18;
    case DType::kIQ4_NL: return 25;
    case DType::kIQ3_S: return 26;
    case DType::kIQ4_XS: return 30;
    case DType::kBF16: return 32;
    case DType::kTQ1_0: return 36;
    case DType::kTQ2_0: return 37;
    case DType::kMXFP4: return 38;
    default: return std::nullopt;
  }
}

}  // namespace lahar::detail
