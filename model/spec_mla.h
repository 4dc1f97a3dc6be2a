// Multi-head latent attention: what ModelSpec says of it.
#pragma once

#include <cstdint>

namespace lahar {

// heads, scale, softcap and rope are AttentionSpec's; its kv_heads and head_dim describe what a page holds: one head of
// latent_dim + rope_dim, whose first latent_dim dims are the values too. All dims are multiples of 4.
struct MlaSpec {
  uint32_t q_rank = 0;                                 // of the query's down-projection; 0: the query is projected directly
  uint32_t latent_dim = 0;                             // of keys and values, shared by all heads
  uint32_t nope_dim = 0, rope_dim = 0, value_dim = 0;  // of one head
  bool keys_by_latent = false;  // the keys' up-projection lies as [heads, latent, nope], not as [heads, nope, latent]
  float eps = 1e-6f;            // of the norms of the query's and the latent's down-projections
};

}  // namespace lahar
