// Mamba: projection, causal convolution, step sizes from it by a low-rank projection, the selective scan of every channel, a
// gate, and the way back.
#pragma once

#include "blocks/block_kinds.h"

namespace lahar {

namespace mamba {
// In the block's roles.
enum LinearIndex : uint32_t { kIn, kX, kDt, kOut };
enum VectorIndex : uint32_t { kConv, kConvBias, kA, kD, kDtBias };
}  // namespace mamba

extern const BlockKind kMambaBlock;

}  // namespace lahar
