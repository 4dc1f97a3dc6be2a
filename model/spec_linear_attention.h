// Token mixers with a matrix or vector of state: gated DeltaNet, RWKV, RG-LRU, short convolutions. What ModelSpec says of
// them.
#pragma once

#include <cstdint>

#include "ops/common.h"

namespace lahar {

struct DeltaNetSpec {
  uint32_t key_heads = 0, value_heads = 0;  // value_heads is a multiple of key_heads
  uint32_t key_dim = 0, value_dim = 0;      // of one head
  uint32_t conv = 0;                        // taps of the causal convolution over q, k and v
  bool tiled = false;  // value head h belongs to key head h % key_heads, else to h / (value_heads / key_heads)
};

struct RwkvSpec {
  uint32_t inner = 0;                                                   // channels of the attention, RWKV-4
  uint32_t heads = 0, head_dim = 0;                                     // RWKV-7
  uint32_t decay_rank = 0, rate_rank = 0, mix_rank = 0, gate_rank = 0;  // RWKV-7: of its low-rank projections
  uint32_t most_rank = 0;                                               // of these
  float head_norm_eps = 64e-5f;                                         // RWKV-7
  uint32_t width = 0;                                                   // of the channel mixing
};

// Wout (RG-LRU(conv(Wx u)) * f(Wy u)), ops/rg_lru.h.
struct RgLruSpec {
  uint32_t width = 0, heads = 0;                            // each head's channels give its gates; a multiple of 4
  uint32_t conv = 0;                                        // taps of the causal convolution
  ops::Activation activation = ops::Activation::kGeluTanh;  // f
};

struct ShortConvSpec {
  uint32_t conv = 0;  // taps
  bool bias = false;  // of the convolution and both projections
};

}  // namespace lahar
