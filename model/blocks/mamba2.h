// Mamba-2: one projection, a causal convolution, the selective scan with heads, a gated norm, and the way back.
#pragma once

#include "blocks/block_kinds.h"

namespace lahar {

namespace mamba2 {
// In the block's roles.
enum LinearIndex : uint32_t { kIn, kOut };
enum VectorIndex : uint32_t { kConv, kConvBias, kA, kD, kDtBias, kNorm };
}  // namespace mamba2

extern const BlockKind kMamba2Block;
// Attention and Mamba-2 side by side: both read the same norm, both add to x.
extern const BlockKind kAttentionMamba2Block;

}  // namespace lahar
