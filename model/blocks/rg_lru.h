// Griffin's recurrent block (RecurrentGemma): Wout (RG-LRU(conv(Wx u)) * f(Wy u)).
#pragma once

#include "blocks/block_kinds.h"

namespace lahar {

// Indices of the block's weights in its roles. The gates' matrices are block-diagonal, a block a head: x times its block.
enum RgLruLinear : uint32_t {
  kRgLruIn = 0,             // [2 width, hidden]: y, x
  kRgLruInputGate = 1,      // [heads * width of a block, width of a block]
  kRgLruRecurrentGate = 2,  // the same
  kRgLruOut = 3,            // [hidden, width]
};
enum RgLruVector : uint32_t {
  kRgLruTaps = 0,           // [width, taps]
  kRgLruTapsBias = 1,       // [width]
  kRgLruInputBias = 2,      // [width]
  kRgLruRecurrentBias = 3,  // [width]
  kRgLruDecay = 4,          // [width], not above 0
};

extern const BlockKind kRgLruBlock;

}  // namespace lahar
