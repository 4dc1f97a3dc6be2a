// Elements of the KV pool for kernels in which lane i holds dim d + i, on drivers that run lanes as the elements of CPU vectors
// (see quant/lanes.glsl). Includers define LANES (a multiple of 4, at most 32), `lane`, and what kv.glsl asks for.
#ifndef LAHAR_KV_LANES_GLSL
#define LAHAR_KV_LANES_GLSL
#include "attention/kv.glsl"
#define LANE_F16
#define LANE_U16
#define LANE_I8
#define LANE_U8
#include "lane_picks.glsl"

// Dim LANES * i + lane of a token, to be multiplied by its kv_scale; zero beyond the head.
float kv_lane(uint64_t page, KvPart part, uint token, uint i) {
  const uint64_t data = page + uint64_t(part.data + token * kKvTokenBytes);
  const uint n = HEAD_DIM - LANES * i;
  if (KV_TYPE == kKvF32) return lane_f32(data + uint64_t(4 * LANES * i), n);
  if (KV_TYPE == kKvBF16) return uintBitsToFloat(lane_u16(data + uint64_t(2 * LANES * i), n) << 16);
  if (KV_TYPE == kKvI8) return float(lane_i8(data + uint64_t(LANES * i), n));
  if (KV_TYPE == kKvF8) {
    const uint code = lane_u8(data + uint64_t(LANES * i), n);
    return uintBitsToFloat(((code & 0x80u) << 24) | ((code & 0x7fu) << 20));
  }
  if (KV_TYPE == kKvI4) {
    if (LANES * i >= kKvTail) {
      const vec2 group = unpackHalf2x16(LoadU1(page + uint64_t(part.scales + token * kKvScaleBytes + kKvTail / kKvGroup * 4)).v);
      return float(lane_u8(data + uint64_t(kKvTail / 2 + LANES * i - kKvTail), n)) * group.x + group.y;
    }
    // Words of eight dims; the lanes of one word read it together.
    float mine = 0;
    [[unroll]] for (uint w = 0; w < (LANES + 7) / 8; ++w) {
      const uint dim = LANES * i + 8 * w - (LANES * i) % 8;
      if (dim >= HEAD_DIM) break;
      const uint word = LoadU1(data + uint64_t(dim / 2)).v;
      const uint scales = LoadU1(page + uint64_t(part.scales + token * kKvScaleBytes + dim / kKvGroup * 4)).v;
      const vec2 half_group = kv_half_group(scales >> (dim & 16));
      const uint at = LANES * i + lane - dim;
      const float v = (float((word >> (4 * (at & 7))) & 15u) + half_group.y) * half_group.x;
      mine = at < 8 && dim + at < HEAD_DIM ? v : mine;
    }
    return mine;
  }
  return lane_f16(data + uint64_t(2 * LANES * i), n);
}
#endif
