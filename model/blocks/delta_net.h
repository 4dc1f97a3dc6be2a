// Gated DeltaNet (Qwen3-Next, Qwen3.5): one projection, a causal convolution over q, k and v, the gated delta rule, a gated
// norm of each head, and the projection back.
#pragma once

#include "blocks/block_kinds.h"

namespace lahar {

// Indices of the block's weights in its roles. q and k have key_heads * key_dim rows each, v and z value_heads * value_dim,
// beta and alpha value_heads.
enum DeltaNetLinear : uint32_t {
  kDeltaNetIn = 0,     // [rows, hidden]: q, k, v, z, beta, alpha
  kDeltaNetOut = 1,    // [hidden, value_heads * value_dim]
  kDeltaNetAlpha = 2,  // [value_heads, hidden]: where alpha is not in kDeltaNetIn; else absent
};
enum DeltaNetVector : uint32_t {
  kDeltaNetTaps = 0,   // [rows of q, k and v, taps]
  kDeltaNetDecay = 1,  // [value_heads], negative
  kDeltaNetBias = 2,   // [value_heads]: of alpha
  kDeltaNetNorm = 3,   // [value_dim]
};

extern const BlockKind kDeltaNetBlock;

}  // namespace lahar
