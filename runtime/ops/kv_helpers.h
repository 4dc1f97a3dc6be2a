// Inside of ops: checks of the KV pool's description.
#pragma once

#include "ops/kv_type.h"
#include "ops/op_helpers.h"

namespace lahar::ops::detail {

constexpr uint32_t kMaxHeadDim = 576;

// The kernels trust the address once this holds: every index they read is clamped to its tables.
inline Status check_kv(std::string_view label, const KvRef& kv, uint32_t heads) {
  const params::KvAddress& a = kv.address;
  if (kv.head_dim < 4 || kv.head_dim > kMaxHeadDim || kv.head_dim % 4 != 0)
    return invalid(label, "a head_dim of " + std::to_string(kv.head_dim) + " (a multiple of 4 up to " +
                              std::to_string(kMaxHeadDim) + ")");
  if (kv.shares_values() && (kv.shared_dim >= kv.head_dim || kv.shared_dim % 4 != 0))
    return invalid(label,
                   "values of " + std::to_string(kv.shared_dim) + " dims out of keys of " + std::to_string(kv.head_dim));
  if (kv.kv_heads == 0 || heads == 0 || heads % kv.kv_heads != 0 || heads > 65535)
    return invalid(label, std::to_string(heads) + " heads over " + std::to_string(kv.kv_heads) + " KV heads");
  if (a.pages_per_slot == 0 || a.pages_per_segment == 0 || a.n_pages == 0 ||
      a.pages_per_slot > (1u << 28) / params::kPageTokens)
    return invalid(label, "an empty or too large KV pool");
  if (kv.type >= KvType::kCount) return invalid(label, "a KV cache of an unknown type");
  const KvLayerBytes bytes = kv_layer_bytes(kv.type, kv.kv_heads, kv.head_dim, kv.shares_values());
  if (a.page_bytes % 16 != 0 || a.layer_offset % 16 != 0 || a.value_offset != a.layer_offset + bytes.value_offset)
    return invalid(label, "pages and layers of the KV pool must be multiples of 16 bytes, values must follow the keys");
  if (a.layer_offset + bytes.end > a.page_bytes)
    return invalid(label, "keys, values and scales of " + std::to_string(bytes.end) + " bytes do not fit their page");
  const uint64_t n_segments = ceil_div(a.n_pages, a.pages_per_segment);
  if (!kv.segment_table || kv.segment_table.size < n_segments * sizeof(uint64_t) || kv.segments.size() < n_segments)
    return invalid(label, "a KV pool of " + std::to_string(n_segments) + " segments, of which not all are given");
  if (!kv.page_table || kv.page_table.size < uint64_t{a.pages_per_slot} * sizeof(uint32_t))
    return invalid(label, "the page table is missing or too small");
  return {};
}

}  // namespace lahar::ops::detail
