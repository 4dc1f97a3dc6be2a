#include "core/dtype.h"

#include <array>
#include <cstddef>

namespace lahar {
namespace {

constexpr std::array<DTypeTraits, static_cast<size_t>(DType::kCount)> kTraits = {{
    {"F32", 1, 4},        {"F16", 1, 2},       {"BF16", 1, 2},       {"F64", 1, 8},       {"I8", 1, 1},
    {"I16", 1, 2},        {"I32", 1, 4},       {"I64", 1, 8},        {"U8", 1, 1},        {"U16", 1, 2},
    {"U32", 1, 4},        {"U64", 1, 8},       {"BOOL", 1, 1},       {"F8_E4M3", 1, 1},   {"F8_E5M2", 1, 1},
    {"Q4_0", 32, 18},     {"Q4_1", 32, 20},    {"Q5_0", 32, 22},     {"Q5_1", 32, 24},    {"Q8_0", 32, 34},
    {"Q2_K", 256, 84},    {"Q3_K", 256, 110},  {"Q4_K", 256, 144},   {"Q5_K", 256, 176},  {"Q6_K", 256, 210},
    {"Q8_K", 256, 292},   {"IQ4_NL", 32, 18},  {"IQ4_XS", 256, 136}, {"IQ3_S", 256, 110}, {"IQ3_XXS", 256, 98},
    {"IQ2_XXS", 256, 66}, {"IQ2_XS", 256, 74}, {"IQ2_S", 256, 82},   {"IQ1_S", 256, 50},  {"IQ1_M", 256, 56},
    {"TQ1_0", 256, 54},   {"TQ2_0", 256, 66},  {"MXFP4", 32, 17},    {"I4", 32, 16},
}};

}  // namespace

const DTypeTraits& traits(DType type) { return kTraits[static_cast<size_t>(type)]; }

std::optional<DType> dtype_from_name(std::string_view name) {
  for (size_t i = 0; i < kTraits.size(); ++i)
    if (kTraits[i].name == name) return static_cast<DType>(i);
  return std::nullopt;
}

std::optional<uint64_t> byte_size(DType type, uint64_t values) {
  const DTypeTraits& t = traits(type);
  if (values % t.block_values != 0) return std::nullopt;
  uint64_t bytes = 0;
  if (__builtin_mul_overflow(values / t.block_values, static_cast<uint64_t>(t.block_bytes), &bytes)) return std::nullopt;
  return bytes;
}

}  // namespace lahar
