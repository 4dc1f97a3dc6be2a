// q/k norm, RoPE and the write of one token's keys and values for kernels in which lane i holds dims i, LANES + i, ... of a head
// (attention/kv_lanes.glsl): what rope_kv.comp does, for the common kinds. Includers define ROPE_DIMS (even; of halves, a multiple
// of 2 LANES), PAIRING (ops::RopePairing), QK_NORM (ops::QkNorm: none, kPerHead or kEachHead; RMS), NORM_WEIGHT, and KV_TYPE as one of
// the types without scales.
#include "lane_reduce.glsl"
#include "rope/rotation.glsl"

layout(buffer_reference, scalar, buffer_reference_align = 2) writeonly buffer StoreU16 { uint16_t v; };

const uint kRopeHalves = 1, kRopeInterleaved = 2, kNormPerHead = 1;
const uint kHalfVectors = ROPE_DIMS / 2 / LANES;
// Vectors of pairs' angles.
const uint kTurns = PAIRING == kRopeHalves ? kHalfVectors : PAIRING == kRopeInterleaved ? (ROPE_DIMS + LANES - 1) / LANES : 0;

float v[kHeadVectors];                // a head's dims
vec2 turn[kTurns == 0 ? 1 : kTurns];  // cos and sin

// The frequencies of the pairs that a vector's dims belong to, if those are neighbours.
float pair_frequency(uint64_t frequencies, uint i) {
  float mine = 0;
  [[unroll]] for (uint k = 0; k < LANES / 2; ++k) {
    if (i * LANES + 2 * k >= ROPE_DIMS) break;
    mine = lane / 2 == k ? LoadF1(frequencies + uint64_t(2 * (i * LANES + 2 * k))).v : mine;
  }
  return mine;
}

void make_turns(uint64_t frequencies, uint position, float magnitude) {
  [[unroll]] for (uint i = 0; i < kTurns; ++i) {
    const float frequency = PAIRING == kRopeHalves ? lane_f32(frequencies + uint64_t(4 * i * LANES), LANES) : pair_frequency(frequencies, i);
    turn[i] = cos_sin(position * turns_per_position(frequency)) * magnitude;
  }
}

void load_head(uint64_t x) {
  [[unroll]] for (uint i = 0; i < kHeadVectors; ++i) v[i] = lane_f32(x + uint64_t(4 * i * LANES), HEAD_DIM - i * LANES);
}

// A head of q or k at x, normed and rotated. `weight`: of all heads, of which this is number `head`.
void load_turned_head(uint64_t x, uint64_t weight, uint head, float eps) {
  load_head(x);
  if (QK_NORM != 0) {
    float squares = 0;
    [[unroll]] for (uint i = 0; i < kHeadVectors; ++i) squares = fma(v[i], v[i], squares);
    const float factor = inversesqrt(lane_sum(squares) / float(HEAD_DIM) + eps);
    const uint64_t from = weight + uint64_t(QK_NORM == kNormPerHead ? 0 : 4 * head * HEAD_DIM);
    [[unroll]] for (uint i = 0; i < kHeadVectors; ++i) {
      v[i] *= factor;
      if (NORM_WEIGHT != 0) v[i] *= lane_f32(from + uint64_t(4 * i * LANES), HEAD_DIM - i * LANES);
    }
  }
  [[unroll]] for (uint i = 0; i < kTurns; ++i) {
    const vec2 cs = turn[i];
    if (PAIRING == kRopeHalves) {
      const float a = v[i], b = v[i + kHalfVectors];
      v[i] = a * cs.x - b * cs.y, v[i + kHalfVectors] = b * cs.x + a * cs.y;
    } else {
      const float partner = subgroupShuffleXor(v[i], 1), turned = v[i] * cs.x + ((lane & 1) == 0 ? -partner : partner) * cs.y;
      v[i] = i * LANES + lane < ROPE_DIMS ? turned : v[i];
    }
  }
}

// Writes v, a token's key or value, and makes it what the cache holds.
void store_head(uint64_t page, KvPart part, uint token, bool write) {
  [[unroll]] for (uint i = 0; i < kHeadVectors; ++i) {
    const uint dim = i * LANES + lane;
    const bool mine = write && dim < HEAD_DIM;
    if (KV_TYPE == kKvF32) {
      if (mine) store_f32(page, part.data + token * kKvTokenBytes + 4 * dim, v[i]);
    } else {
      const uint bits = KV_TYPE == kKvBF16 ? to_bfloat(v[i]) : to_half(v[i]);
      if (mine) StoreU16(page + uint64_t(part.data + token * kKvTokenBytes + 2 * dim)).v = uint16_t(bits);
      v[i] = KV_TYPE == kKvBF16 ? uintBitsToFloat(bits << 16) : unpackHalf2x16(bits).x;
    }
  }
}
