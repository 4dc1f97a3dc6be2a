// Token mixers with a matrix or vector of state: gated DeltaNet, RWKV, short convolutions. What ModelSpec says of them.
#pragma once

#include <cstdint>

namespace lahar {

struct DeltaNetSpec {
  uint32_t key_heads = 0, value_heads = 0;  // value_heads is a multiple of key_heads
  uint32_t key_dim = 0, value_dim = 0;      // of one head
  uint32_t conv = 0;                        // taps of the causal convolution over q, k and v
};

struct RwkvSpec {
  uint32_t inner = 0;                 // channels
  uint32_t heads = 0, head_dim = 0;  // RWKV-7
};

struct ShortConvSpec {
  uint32_t conv = 0;  // taps
};

}  // namespace lahar
