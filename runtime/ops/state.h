// Recurrent state as ops see it.
#pragma once

#include "ops/common.h"

namespace lahar::ops {

// fp32. State slot i lies at range + i * slot_bytes, this layer's part of it layer_offset bytes behind. A run of the step
// reads the slot Run::state_read and writes Run::state_write; kernels clamp both to `slots` and know params::kNoState.
struct StateRef {
  gpu::BufferRange range;  // all slots, for the declared reads and writes
  uint64_t slot_bytes = 0;
  uint64_t layer_offset = 0;
  uint32_t slots = 0;

  uint64_t address() const { return range.address() + layer_offset; }
};

}  // namespace lahar::ops
