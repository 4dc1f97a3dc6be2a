// A gated short convolution (LFM2): mid = C * conv(B * x), of B, C and x that one projection gives.
#pragma once

#include "blocks/block_kinds.h"

namespace lahar {

// Indices of the block's weights in its roles.
enum ShortConvLinear : uint32_t {
  kShortConvIn = 0,   // [3 hidden, hidden]: B, C, x
  kShortConvOut = 1,  // [hidden, hidden]
};
enum ShortConvVector : uint32_t {
  kShortConvTaps = 0,  // [hidden, taps]
  kShortConvBias = 1,  // [hidden]; may be absent
};

extern const BlockKind kShortConvBlock;

}  // namespace lahar
