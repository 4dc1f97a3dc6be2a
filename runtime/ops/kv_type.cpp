#include "ops/kv_type.h"

#include <algorithm>
#include <iterator>

namespace lahar::ops {
namespace {

constexpr std::string_view kNames[] = {"f16", "f32", "bf16", "int8", "fp8", "int4"};
static_assert(std::size(kNames) == static_cast<size_t>(KvType::kCount));
constexpr uint32_t kGroup = 32;  // dims that share a word of scales in kI4

}  // namespace

std::string_view to_string(KvType type) { return type < KvType::kCount ? kNames[static_cast<size_t>(type)] : "none"; }

std::optional<KvType> kv_type_from_name(std::string_view name) {
  const auto* found = std::find(std::begin(kNames), std::end(kNames), name);
  if (found == std::end(kNames)) return std::nullopt;
  return static_cast<KvType>(found - std::begin(kNames));
}

uint32_t kv_token_bytes(KvType type, uint32_t head_dim) {
  switch (type) {
    case KvType::kF32: return 4 * head_dim;
    case KvType::kI8:
    case KvType::kF8: return head_dim;
    case KvType::kI4: return ceil_div(head_dim, kGroup) * (kGroup / 2);
    default: return 2 * head_dim;
  }
}

uint32_t kv_scale_bytes(KvType type, uint32_t head_dim) {
  switch (type) {
    case KvType::kI8:
    case KvType::kF8: return 4;
    case KvType::kI4: return 4 * ceil_div(head_dim, kGroup);
    default: return 0;
  }
}

KvLayerBytes kv_layer_bytes(KvType type, uint32_t kv_heads, uint32_t head_dim, bool shares_values) {
  // Sixteen tokens of whole words are always a multiple of 16 bytes.
  const uint64_t tokens = uint64_t{kv_heads} * params::kPageTokens;
  const uint64_t half = tokens * kv_token_bytes(type, head_dim);
  const uint64_t scales = tokens * kv_scale_bytes(type, head_dim);
  if (shares_values) return {half, half, half + scales};
  return {half, 2 * half, 2 * half + 2 * scales};
}

}  // namespace lahar::ops
