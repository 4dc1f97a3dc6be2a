// Mamba: projection, causal convolution, step sizes from it by a low-rank projection, the selective scan of every channel, a
// gate, and the way back.
#pragma once

#include "blocks/block_kinds.h"

namespace lahar {

namespace mamba {
// In the block's roles.
enum LinearIndex : uint32_t { kIn, kX, kDt, kOut, kB, kC };  // kX: dt, B and C together, unless they are apart
enum VectorIndex : uint32_t { kConv, kConvBias, kA, kD, kDtBias };
// Norms want each part at a multiple of four columns.
inline bool selected_apart(const SsmSpec& s) { return s.inner_norms && (s.dt_rank % 4 != 0 || s.state % 4 != 0); }
}  // namespace mamba

extern const BlockKind kMambaBlock;

}  // namespace lahar
