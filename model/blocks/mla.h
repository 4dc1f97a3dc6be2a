// Multi-head latent attention (DeepSeek V2 and V3): keys and values of all heads are products of one latent a token. The
// page holds the latent and the rotated key that all heads share; queries and results are carried over to the latent's
// space, so that attention runs on the latents as they lie, with one KV head, for few rows and many alike. Source of the
// formulas: arXiv 2405.04434.
#pragma once

#include "blocks/block_kinds.h"

namespace lahar {

// Indices of the block's roles. With heads H, latent L, query rank Q, and per head nope N, rope R, value V dims:
enum MlaLinear : uint32_t {
  kMlaQueryDown = 0,  // [Q, hidden]; not there where Q is 0
  kMlaQuery = 1,      // [H * (N + R), Q or hidden]
  kMlaDown = 2,       // [L + R, hidden]
  kMlaKeyUp = 3,      // [H * L, N] where MlaSpec::keys_by_latent, else [H * N, L]
  kMlaValueUp = 4,    // [H * V, L]
  kMlaOutput = 5,     // [hidden, H * V]
};
enum MlaVector : uint32_t {
  kMlaQueryNorm = 0,   // [Q]; not there where Q is 0
  kMlaLatentNorm = 1,  // [L]
};

extern const BlockKind kMlaBlock;

}  // namespace lahar
