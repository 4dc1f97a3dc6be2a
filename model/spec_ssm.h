// Mamba and Mamba-2: what ModelSpec says of them.
#pragma once

#include <cstdint>

namespace lahar {

struct SsmSpec {
  uint32_t inner = 0;   // channels
  uint32_t state = 0;   // of one channel (Mamba) or one head's row (Mamba-2)
  uint32_t conv = 0;    // taps of the causal convolution
  uint32_t dt_rank = 0;  // Mamba
  uint32_t heads = 0, groups = 1;  // Mamba-2: inner = heads * head size; B and C are shared by the heads of a group
};

}  // namespace lahar
