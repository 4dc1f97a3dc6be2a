// Writes the keys or values of one token and head into their page, by a team of TEAM lanes of a subgroup, lane i with the
// quads quad_of(i, 0), quad_of(i, 1), ... of dims: eight dims side by side a round, so that every word has one writer.
// Includers define TEAM (a power of two), kRounds, and what kv.glsl asks for.
#ifndef LAHAR_KV_STORE_GLSL
#define LAHAR_KV_STORE_GLSL
#extension GL_KHR_shader_subgroup_shuffle : require
#include "attention/kv.glsl"

vec4 v[2 * kRounds];  // the lane's quads; zeros where the head has none

const float kE4m3Unit = 1.329227995784916e36;  // 2^120: see kv_from_e4m3

uint quad_of(uint lane, uint i) { return 2 * (lane + i / 2 * TEAM) + i % 2; }

float largest4(vec4 v) { return max(max(v.x, v.y), max(v.z, v.w)); }

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

float team_sum(float x) {
  [[unroll]] for (uint mask = 1; mask < TEAM; mask <<= 1) x += subgroupShuffleXor(x, mask);
  return x;
}
float team_max(float x) {
  [[unroll]] for (uint mask = 1; mask < TEAM; mask <<= 1) x = max(x, subgroupShuffleXor(x, mask));
  return x;
}

uvec4 to_e4m3(vec4 x) { return uvec4(to_e4m3(x.x), to_e4m3(x.y), to_e4m3(x.z), to_e4m3(x.w)); }

void store_bytes(uint64_t page, KvPart part, uint token, uint lane, float inverse) {
  const float most = KV_TYPE == kKvI8 ? 127.0 : 448.0;
  [[unroll]] for (uint i = 0; i < 2 * kRounds; ++i) {
    const uint quad = quad_of(lane, i);
    if (quad >= HEAD_DIM / 4) continue;
    const vec4 x = clamp(v[i] * inverse, -most, most);
    const uvec4 codes = KV_TYPE == kKvI8 ? uvec4(ivec4(round(x))) & 0xffu : to_e4m3(x);
    store_u32(page, part.data + token * kKvTokenBytes + 4 * quad, pack_bytes(codes));
  }
}

// kKvI8: one scale, from the largest magnitude.
void kv_store_int8(uint64_t page, KvPart part, uint token, uint lane, float largest, bool write) {
  if (!write) return;
  store_bytes(page, part, token, lane, largest > 0 ? 127.0 / largest : 0);
  if (lane == 0) store_f32(page, part.scales + 4 * token, largest / 127.0);
}

// kKvF8: the largest numbers make most of the error, which depends on how they happen to fall between two codes: of eight scales
// within an octave, the one whose least-squares fit comes closest.
void kv_store_fp8(uint64_t page, KvPart part, uint token, uint lane, float largest, bool write) {
  float closest = -1, inverse = 0, scale = 0;
  for (uint c = 0; c < 8; ++c) {
    const float candidate = largest > 0 ? 448.0 / largest * exp2(float(c) / -8.0) : 0;
    float products = 0, squares = 0;
    [[unroll]] for (uint i = 0; i < 2 * kRounds; ++i) {
      const vec4 q = kv_from_e4m3(pack_bytes(to_e4m3(clamp(v[i] * candidate, -448.0, 448.0)))) * kE4m3Unit;
      products += dot(q, v[i]);
      squares += dot(q, q);
    }
    products = team_sum(products), squares = team_sum(squares);
    const float explained = squares > 0 ? products / squares * products : 0;
    if (explained > closest) closest = explained, inverse = candidate, scale = squares > 0 ? products / squares : 0;
  }
  if (!write) return;
  store_bytes(page, part, token, lane, inverse);
  if (lane == 0) store_f32(page, part.scales + 4 * token, scale * kE4m3Unit);
}

vec4 to_levels(vec4 x, float most) { return clamp(round(x), 0.0, most); }

// The scale and zero point of sixteen dims [low, high] of kKvI4: of three scales and eight shifts, what comes closest. a and b are
// the lane's values, a lane and its neighbour share them.
uint fit_half_group(vec4 a, vec4 b, float low, float high) {
  const float least = max((high - low) / 15.0, max(-low / 16.0, high / 30.875));
  const uint bits = floatBitsToUint(max(least, 1e-6)) >> 20, first = min(max(bits, 107u * 8) - 107u * 8, 253u);
  uint best = 0;
  float closest = 1e38;
  for (uint c = 0; c < 24; ++c) {
    const uint code = first + c % 3;
    const float scale = kv_scale_of(code), inverse = 1.0 / scale;
    const float shift = (float(c / 3) - 3.5) * 0.125;
    const float zero = clamp(round(8.0 * ((low + high) * 0.5 * inverse - 7.5 + shift)), -128.0, 127.0);
    const vec4 x = a * inverse - zero * 0.125, y = b * inverse - zero * 0.125;
    const vec4 off_x = x - to_levels(x, 15), off_y = y - to_levels(y, 15);
    float off = (dot(off_x, off_x) + dot(off_y, off_y)) * scale * scale;
    if (TEAM > 1) off += subgroupShuffleXor(off, 1);
    if (off < closest) closest = off, best = code | ((uint(int(zero)) & 255u) << 8);
  }
  return best;
}

// kKvI4: a lane's eight dims are half of a half group, four neighbouring lanes' a group.
void kv_store_nibbles(uint64_t page, KvPart part, uint token, uint lane, bool write) {
  [[unroll]] for (uint r = 0; r < kRounds; ++r) {
    const uint octet = lane + r * TEAM, data = part.data + token * kKvTokenBytes;
    const bool exists = 2 * octet < HEAD_DIM / 4, both = 2 * octet + 1 < HEAD_DIM / 4, bytes = 8 * octet >= kKvTail;
    // A quad that the head does not have repeats its neighbour.
    const vec4 a = clamp(v[2 * r], -57000.0, 57000.0), b = clamp(both ? v[2 * r + 1] : v[2 * r], -57000.0, 57000.0);
    float low = exists ? -largest4(-min(a, b)) : 57000.0, high = exists ? largest4(max(a, b)) : -57000.0;
    if (TEAM > 1) low = min(low, subgroupShuffleXor(low, 1)), high = max(high, subgroupShuffleXor(high, 1));
    const uint half_group = fit_half_group(a, b, low, high);
    const uint other = TEAM > 2 ? subgroupShuffleXor(half_group, 2) : 0;
    if (!write || !exists) continue;
    const uint scales = part.scales + token * kKvScaleBytes + octet / (kKvGroup / 8) * 4;
    if (bytes) {
      const uint header = to_half2(vec2((high - low) / 255.0, low));
      const vec2 group = unpackHalf2x16(header);
      const float inverse = group.x > 0 ? 1.0 / group.x : 0;
      const uint to = data + kKvTail / 2 + 8 * octet - kKvTail;
      store_u32(page, to, pack_bytes(uvec4(to_levels((a - group.y) * inverse, 255))));
      if (both) store_u32(page, to + 4, pack_bytes(uvec4(to_levels((b - group.y) * inverse, 255))));
      if (8 * octet == kKvTail) store_u32(page, scales, header);
    } else {
      const vec2 group = kv_half_group(half_group);
      const uvec4 qa = uvec4(to_levels(a / group.x - group.y, 15)), qb = uvec4(to_levels(b / group.x - group.y, 15));
      store_u32(page, data + 4 * octet, pack_nibbles(qa) | (pack_nibbles(qb) << 16));
      if (octet % (kKvGroup / 8) == 0) store_u32(page, scales, half_group | (other << 16));
    }
  }
}

// Writes v. Every lane of the team calls it.
void kv_store(uint64_t page, KvPart part, uint token, uint lane, bool write) {
  if (kKvBytes) {
    float largest = 0;
    [[unroll]] for (uint i = 0; i < 2 * kRounds; ++i) largest = max(largest, largest4(abs(v[i])));
    largest = min(team_max(largest), 65504.0);
    if (largest < 1e-30) largest = 0;
    if (KV_TYPE == kKvI8) kv_store_int8(page, part, token, lane, largest, write);
    else kv_store_fp8(page, part, token, lane, largest, write);
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
