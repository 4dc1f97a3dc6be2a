// Element and block types of tensors, as files store them.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace lahar {

// A block is the smallest unit of a type: 1 value for plain types, 32 or 256 consecutive values of a row for quantized ones.
enum class DType : uint8_t {
  kF32,
  kF16,
  kBF16,
  kF64,
  kI8,
  kI16,
  kI32,
  kI64,
  kU8,
  kU16,
  kU32,
  kU64,
  kBool,
  kF8E4M3,
  kF8E5M2,
  kQ4_0,
  kQ4_1,
  kQ5_0,
  kQ5_1,
  kQ8_0,
  kQ2_K,
  kQ3_K,
  kQ4_K,
  kQ5_K,
  kQ6_K,
  kQ8_K,
  kIQ4_NL,
  kIQ4_XS,
  kIQ3_S,
  kIQ3_XXS,
  kIQ2_XXS,
  kIQ2_XS,
  kIQ2_S,
  kIQ1_S,
  kIQ1_M,
  kTQ1_0,
  kTQ2_0,
  kMXFP4,
  kI4,  // nibbles alone, as Q4_0 arranges them; in memory, no file has it
  kCount,
};

struct DTypeTraits {
  std::string_view name;  // as GGUF and llama.cpp spell it ("F16", "Q4_K"); safetensors names differ, see safetensors.cpp
  uint32_t block_values;  // values in a block
  uint32_t block_bytes;   // bytes in a block
};

const DTypeTraits& traits(DType type);
inline std::string_view to_string(DType type) { return traits(type).name; }

// Case-sensitive lookup by traits().name.
std::optional<DType> dtype_from_name(std::string_view name);

// Bytes of `values` consecutive values; nullopt where they do not fill whole blocks or the size overflows 64 bits.
std::optional<uint64_t> byte_size(DType type, uint64_t values);

}  // namespace lahar
