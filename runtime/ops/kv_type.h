// What the types of the KV cache are called, and how many bytes they take.
#pragma once

#include <optional>
#include <string_view>

#include "ops/common.h"

namespace lahar::ops {

// "f16", "f32", "bf16", "int8", "fp8", "int4"
std::string_view to_string(KvType type);
std::optional<KvType> kv_type_from_name(std::string_view name);

// Bytes that one token of one KV head takes in the keys (and again in the values), and in the scales.
uint32_t kv_token_bytes(KvType type, uint32_t head_dim);
uint32_t kv_scale_bytes(KvType type, uint32_t head_dim);

// Of one layer in a page, counted from where its keys begin: its values, its scales, its end. All are multiples of 16. With
// `shares_values` there are no values beside the keys: value_offset is scale_offset.
struct KvLayerBytes {
  uint64_t value_offset = 0, scale_offset = 0, end = 0;
};
KvLayerBytes kv_layer_bytes(KvType type, uint32_t kv_heads, uint32_t head_dim, bool shares_values = false);

}  // namespace lahar::ops
