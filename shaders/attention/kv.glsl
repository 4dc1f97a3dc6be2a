// The paged KV pool: everything that reads or writes it. Includers define KV_TYPE (ops::KvType), HEAD_DIM, a multiple of 4, and
// VALUE_DIM: HEAD_DIM, or fewer where the values are the first dims of the keys and not stored again.
// What kv_load4 gives is to be multiplied by the token's kv_scale. Elements are loaded as words, on devices with and without
// small types.
#ifndef LAHAR_KV_GLSL
#define LAHAR_KV_GLSL
#include "half.glsl"
#include "rows.glsl"

const uint kKvF16 = 0, kKvF32 = 1, kKvBF16 = 2, kKvI8 = 3, kKvF8 = 4, kKvI4 = 5;
const bool kKvBytes = KV_TYPE == kKvI8 || KV_TYPE == kKvF8;  // with an fp32 scale a token
const uint kKvGroup = 32;                                    // dims of kKvI4 that share a word of scales
const uint kKvGroups = (HEAD_DIM + kKvGroup - 1) / kKvGroup;
// A last group of at most 16 dims has room for bytes instead of nibbles, and takes it, with scale and minimum in fp16. Its first dim.
const uint kKvTail = HEAD_DIM % kKvGroup <= kKvGroup / 2 ? HEAD_DIM / kKvGroup * kKvGroup : HEAD_DIM;
const uint kKvTokenBytes = KV_TYPE == kKvF32   ? HEAD_DIM * 4  // of one KV head, in K and in V
                           : kKvBytes          ? HEAD_DIM
                           : KV_TYPE == kKvI4  ? kKvGroups * (kKvGroup / 2)
                                               : HEAD_DIM * 2;
const uint kKvScaleBytes = kKvBytes ? 4 : KV_TYPE == kKvI4 ? 4 * kKvGroups : 0;  // of the same

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

// Bytes in a page where the keys or the values of a head begin, and their scales.
struct KvPart { uint data, scales; };
KvPart kv_part(KvAddress kv, uint head, bool value) {
  if (VALUE_DIM != HEAD_DIM)
    return KvPart(kv.layer_offset + head * (kPageTokens * kKvTokenBytes), kv.value_offset + head * (kPageTokens * kKvScaleBytes));
  return KvPart((value ? kv.value_offset : kv.layer_offset) + head * (kPageTokens * kKvTokenBytes),
                2 * kv.value_offset - kv.layer_offset + (2 * head + (value ? 1 : 0)) * (kPageTokens * kKvScaleBytes));
}

// Every e4m3 number that is stored is zero or normal: its bits, moved into a float, are the value times 2^-120, which its
// token's scale takes back.
vec4 kv_from_e4m3(uint w) {
  const uvec4 bytes = uvec4(w, w >> 8, w >> 16, w >> 24);
  return uintBitsToFloat(((bytes & 0x80u) << 24) | ((bytes & 0x7fu) << 20));
}

// Sixteen dims of kKvI4 have a scale, a float of 5 bits of exponent and 3 of mantissa, and a zero point in eighths of it. An
// element is (nibble + y) * x.
float kv_scale_of(uint code) { return uintBitsToFloat((code << 20) + (107u << 23)); }
vec2 kv_half_group(uint bits) { return vec2(kv_scale_of(bits & 255u), float(int(bits << 16) >> 24) * 0.125); }

// Dims [4 * quad, 4 * quad + 4) of a token of the page.
vec4 kv_load4(uint64_t page, KvPart part, uint token, uint quad) {
  const uint data = part.data + token * kKvTokenBytes;
  if (KV_TYPE == kKvF32) return load_f32x4(page, data + 16 * quad);
  if (KV_TYPE == kKvBF16) {
    const uvec2 w = load_u32x2(page, data + 8 * quad);
    return uintBitsToFloat(uvec4(w.x << 16, w.x & 0xffff0000u, w.y << 16, w.y & 0xffff0000u));
  }
  if (KV_TYPE == kKvI8) {
    const int w = int(load_u32(page, data + 4 * quad));
    return vec4(ivec4(w << 24, w << 16, w << 8, w) >> 24);
  }
  if (KV_TYPE == kKvF8) return kv_from_e4m3(load_u32(page, data + 4 * quad));
  if (KV_TYPE == kKvI4) {
    const uint scales = load_u32(page, part.scales + token * kKvScaleBytes + quad / 8 * 4);
    if (4 * quad >= kKvTail) {
      const uint bytes = load_u32(page, data + kKvTail / 2 + 4 * quad - kKvTail);
      const vec2 group = unpackHalf2x16(scales);
      return vec4(uvec4(bytes, bytes >> 8, bytes >> 16, bytes >> 24) & 255u) * group.x + group.y;
    }
    const uint w = load_u32(page, data + quad / 2 * 4) >> (16 * (quad & 1));
    const vec2 half_group = kv_half_group(scales >> (4 * (quad & 4)));
    return (vec4(uvec4(w, w >> 4, w >> 8, w >> 12) & 15u) + half_group.y) * half_group.x;
  }
  return from_half4(load_u32x2(page, data + 8 * quad));
}
// A query times a key as it was loaded could be too small for a float: queries are multiplied by the unit beforehand, and their
// products with keys by kv_key_scale.
const float kKvQueryUnit = KV_TYPE == kKvF8 ? 18446744073709551616.0 : 1.0;
float kv_scale(uint64_t page, KvPart part, uint token) {
  return kKvBytes ? load_f32(page, part.scales + 4 * token) : 1.0;
}
float kv_key_scale(uint64_t page, KvPart part, uint token) { return kv_scale(page, part, token) / kKvQueryUnit; }
#endif
