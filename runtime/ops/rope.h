// One dispatch between the q,k,v projection and attention: q/k norm, RoPE, and the write of K and V into their pages.
#pragma once

#include "ops/common.h"
#include "ops/norm.h"

namespace lahar::ops {

enum class RopePairing : uint32_t {
  kNone = 0,         // positions are not rotated
  kHalves = 1,       // dims i and i + rope_dims/2 are a pair (Hugging Face)
  kInterleaved = 2,  // dims 2i and 2i+1 are a pair (GGUF llama)
};
enum class QkNorm : uint32_t {
  kNone = 0,
  kPerHead = 1,   // over each head's head_dim, one weight [head_dim] for all heads
  kFull = 2,      // over all heads together, weight [heads * head_dim] (OLMo 2)
  kEachHead = 3,  // over each head's head_dim, weight [heads * head_dim] (StableLM)
};

// qkv_t holds q [heads, head_dim], k [kv_heads, head_dim], v [kv_heads, head_dim], each at its offset.
// Rotation of pair i (0 <= i < rope_dims/2) at position p: angle = p * inverse_frequencies[i]; cos and sin are multiplied by
// `magnitude` (YaRN's attention factor). The remaining head_dim - rope_dims dims pass unrotated. Positions are exact in fp32
// up to 2^24; the angle must be reduced well enough that contexts of 128 k keep an absolute error below 1e-3.
struct RopeKvParams {
  Activations qkv;                                    // [bucket, (heads + 2 * kv_heads) * head_dim]
  uint32_t q_offset = 0, k_offset = 0, v_offset = 0;  // floats within a row, multiples of 4
  Activations q;                                      // [bucket, heads * head_dim], written; apart from qkv
  uint32_t heads = 0;
  KvRef kv;                   // this layer's; kv_heads and head_dim are there
  bool query_alone = false;   // keys and values are another layer's: qkv has none, and none are written
  float clamp = 0;            // q, k, v are clamped to [-clamp, clamp] before their norms; 0: not
  bool clamp_normed = false;  // after the norms instead, before RoPE
  RopePairing pairing = RopePairing::kHalves;
  uint32_t rope_dims = 0;                // even, at most head_dim
  gpu::BufferRange inverse_frequencies;  // fp32 [rope_dims / 2]
  float magnitude = 1;
  QkNorm qk_norm = QkNorm::kNone;
  NormKind qk_norm_kind = NormKind::kRms;
  bool qk_norm_bias = false;        // biases lie behind the weights
  bool qk_norm_after_rope = false;  // RMS alone, with a magnitude of 1
  bool value_norm = false;          // RMSNorm of each head's v, without weights, with qk_norm_eps
  gpu::BufferRange q_norm, k_norm;  // fp32 weights; both empty: ones
  float qk_norm_eps = 1e-6f;
  // q is multiplied by 1 + temperature * ln(1 + floor((position + 1) / temperature_floor)) at the end (Llama 4); 0: not.
  float temperature = 0, temperature_floor = 1;
  StepRef step;
  std::string_view label;
};
Status rope_kv(gpu::Recorder& recorder, const RopeKvParams& params);

}  // namespace lahar::ops
