// The paged KV pool. Includers define KV_TYPE (ops::KvType) and HEAD_DIM, a multiple of 4.
#ifndef LAHAR_KV_GLSL
#define LAHAR_KV_GLSL
#include "half.glsl"
#include "rows.glsl"

const uint kKvF16 = 0;
const uint kKvF32 = 1;
const uint kKvElementBytes = KV_TYPE == kKvF32 ? 4 : 2;
const uint kKvTokenBytes = HEAD_DIM * kKvElementBytes;  // of one KV head
const uint kKvHeadBytes = kPageTokens * kKvTokenBytes;

// Where page `index` of a slot begins; indices are clamped to their tables.
uint64_t kv_page(KvAddress kv, uint slot, uint index) {
  const uint entry = slot * kv.pages_per_slot + min(index, kv.pages_per_slot - 1);
  const uint page = min(load_u32(kv.pages, 4 * entry), kv.n_pages - 1);
  const uint segment = page / kv.pages_per_segment;
  const uint within = page - segment * kv.pages_per_segment;
  return load_address(kv.segments, 8 * segment) + uint64_t(within) * uint64_t(kv.page_bytes);
}
// The last index of a slot's cache that its page table can name.
uint kv_last_index(KvAddress kv) { return kv.pages_per_slot * kPageTokens - 1; }

// Four consecutive elements; `offset` in bytes, a multiple of four elements.
vec4 kv_load4(uint64_t base, uint offset) {
  if (KV_TYPE == kKvF32) return load_f32x4(base, offset);
  return from_half4(load_u32x2(base, offset));
}
void kv_store4(uint64_t base, uint offset, vec4 v) {
  if (KV_TYPE == kKvF32)
    store_f32x4(base, offset, v);
  else
    store_u32x2(base, offset, to_half4(v));
}
#endif
