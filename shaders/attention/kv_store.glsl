// Writes the keys or values of one token and head into their page, by a team of TEAM lanes of a subgroup, lane i with the
// quads quad_of(i, 0), quad_of(i, 1), ... of dims: eight dims side by side a round, so that every word has one writer.
// Includers define TEAM (a power of two), kRounds, and what kv.glsl asks for.
#ifndef LAHAR_KV_STORE_GLSL
#define LAHAR_KV_STORE_GLSL
#extension GL_KHR_shader_subgroup_shuffle : require
#include "attention/kv.glsl"

vec4 v[2 * kRounds];  // the lane's quads; zeros where the head has none

uint quad_of(uint lane, uint i) { return 2 * (lane + i / 2 * TEAM) + i % 2; }

float largest4(vec4 v) { return max(max(v.x, v.y), max(v.z, v.w)); }

// The upper half of a float, to the nearest, ties to even. NaN stays NaN.
uint to_bfloat(float v) {
  const uint bits = floatBitsToUint(v);
  return isnan(v) ? 0x7fc0u : (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
}
uvec2 to_bfloat4(vec4 v) {
  return uvec2(to_bfloat(v.x) | (to_bfloat(v.y) << 16), to_bfloat(v.z) | (to_bfloat(v.w) << 16));
}

// |x| <= 448, to the nearest; below the smallest normal number 2^-6, that or zero.
uint to_e4m3(float x) {
  const uint bits = floatBitsToUint(x), magnitude = bits & 0x7fffffffu;
  uint code = (magnitude - (120u << 23) + 0x7ffffu + ((magnitude >> 20) & 1u)) >> 20;
  if (magnitude < 0x3c800000u) code = magnitude >= 0x3c000000u ? 8 : 0;
  return min(code, 0x7eu) | ((bits >> 24) & 0x80u);
}

uint pack_nibbles(uvec4 n) { return n.x | (n.y << 4) | (n.z << 8) | (n.w << 12); }
uint pack_bytes(uvec4 b) { return b.x | (b.y << 8) | (b.z << 16) | (b.w << 24); }

// kKvI8 and kKvF8: one scale, from the largest magnitude.
void kv_store_bytes(uint64_t page, KvPart part, uint token, uint lane, bool write) {
  float largest = 0;
  [[unroll]] for (uint i = 0; i < 2 * kRounds; ++i) largest = max(largest, largest4(abs(v[i])));
  [[unroll]] for (uint mask = 1; mask < TEAM; mask <<= 1) largest = max(largest, subgroupShuffleXor(largest, mask));
  largest = min(largest, 65504.0);
  const float most = KV_TYPE == kKvI8 ? 127.0 : 448.0;
  const float inverse = largest > 1e-30 ? most / largest : 0;
  if (!write) return;
  [[unroll]] for (uint i = 0; i < 2 * kRounds; ++i) {
    const uint quad = quad_of(lane, i);
    if (quad >= HEAD_DIM / 4) continue;
    const vec4 x = clamp(v[i] * inverse, -most, most);
    const uint word = KV_TYPE == kKvI8 ? pack_bytes(uvec4(ivec4(round(x))) & 0xffu)
                                       : to_e4m3(x.x) | (to_e4m3(x.y) << 8) | (to_e4m3(x.z) << 16) | (to_e4m3(x.w) << 24);
    store_u32(page, part.data + token * kKvTokenBytes + 4 * quad, word);
  }
  const float e4m3_unit = uintBitsToFloat((127u + 120u) << 23);  // 2^120: see kv_from_e4m3
  if (lane == 0) store_f32(page, part.scales + 4 * token, largest / most * (KV_TYPE == kKvF8 ? e4m3_unit : 1.0));
}

// The sum over the lanes that share a group of kKvI4.
vec4 group_sum(vec4 x) {
  [[unroll]] for (uint mask = 1; mask < min(TEAM, kKvGroup / 8); mask <<= 1) x += subgroupShuffleXor(x, mask);
  return x;
}
vec4 to_nibbles(vec4 x, float inverse) { return clamp(round(x * inverse), 0.0, 15.0); }

// The scale and minimum of a group from its smallest value 0 on: of nine ranges that cut a little off either end, the one
// whose least-squares fit comes closest. a and b are the lane's values, `exists` 1 for those that there are.
vec2 fit_group(vec4 a, vec4 b, float range, vec2 exists) {
  const float kCut = 0.025;
  const vec4 sums = group_sum(vec4(4 * (exists.x + exists.y), exists.x * dot(a, vec4(1)) + exists.y * dot(b, vec4(1)), 0, 0));
  vec2 best = vec2(range / 15.0, 0);
  float closest = -1;
  for (uint c = 0; c < 9; ++c) {
    const float low = range * kCut * float(c % 3), high = range * (1.0 - kCut * float(c / 3));
    const float inverse = range > 0 ? 15.0 / (high - low) : 0;
    const vec4 qa = to_nibbles(a - low, inverse) * exists.x, qb = to_nibbles(b - low, inverse) * exists.y;
    // Sums of q, q * q and q * v.
    const vec4 q = group_sum(vec4(dot(qa + qb, vec4(1)), dot(qa, qa) + dot(qb, qb), dot(qa, a) + dot(qb, b), 0));
    const float determinant = sums.x * q.y - q.x * q.x;
    const float scale = (sums.x * q.z - q.x * sums.y) / determinant, minimum = (sums.y - scale * q.x) / sums.x;
    const float explained = scale * q.z + minimum * sums.y;  // of the sum of squares
    if (determinant > 0 && explained > closest) best = vec2(scale, minimum), closest = explained;
  }
  return best;
}

// kKvI4: a scale and a minimum for every 32 dims, which are four neighbouring lanes'.
void kv_store_nibbles(uint64_t page, KvPart part, uint token, uint lane, bool write) {
  [[unroll]] for (uint r = 0; r < kRounds; ++r) {
    const uint octet = lane + r * TEAM;
    const vec2 exists = vec2(2 * octet < HEAD_DIM / 4, 2 * octet + 1 < HEAD_DIM / 4);
    const vec4 a = clamp(v[2 * r], -65504.0, 65504.0), b = clamp(v[2 * r + 1], -65504.0, 65504.0);
    float low = 65504.0, high = -65504.0;
    if (exists.x > 0) low = -largest4(-a), high = largest4(a);
    if (exists.y > 0) low = min(low, -largest4(-b)), high = max(high, largest4(b));
    [[unroll]] for (uint mask = 1; mask < min(TEAM, kKvGroup / 8); mask <<= 1) {
      low = min(low, subgroupShuffleXor(low, mask));
      high = max(high, subgroupShuffleXor(high, mask));
    }
    const vec2 fit = fit_group(a - low, b - low, max(high - low, 0), exists);
    if (!write || exists.x == 0) continue;
    // Quantized with what the fp16 numbers will give back.
    const uint header = to_half2(vec2(fit.x, low + fit.y));
    const vec2 group = unpackHalf2x16(header);
    const float inverse = group.x > 0 ? 1.0 / group.x : 0;
    const uvec4 qa = uvec4(to_nibbles(a - group.y, inverse)), qb = uvec4(to_nibbles(b - group.y, inverse));
    store_u32(page, part.data + token * kKvTokenBytes + 4 * octet, pack_nibbles(qa) | (pack_nibbles(qb) << 16));
    if (octet % (kKvGroup / 8) == 0)
      store_u32(page, part.scales + token * kKvScaleBytes + octet / (kKvGroup / 8) * 4, header);
  }
}

// Writes v. Every lane of the team calls it.
void kv_store(uint64_t page, KvPart part, uint token, uint lane, bool write) {
  if (kKvBytes) {
    kv_store_bytes(page, part, token, lane, write);
  } else if (KV_TYPE == kKvI4) {
    kv_store_nibbles(page, part, token, lane, write);
  } else if (write) {
    [[unroll]] for (uint i = 0; i < 2 * kRounds; ++i) {
      const uint quad = quad_of(lane, i), data = part.data + token * kKvTokenBytes;
      if (quad >= HEAD_DIM / 4) continue;
      if (KV_TYPE == kKvF32) store_f32x4(page, data + 16 * quad, v[i]);
      else store_u32x2(page, data + 8 * quad, KV_TYPE == kKvBF16 ? to_bfloat4(v[i]) : to_half4(v[i]));
    }
  }
}
#endif
