// A device's memory as its driver presents it.
#pragma once

#include <vector>

#include "gpu/device.h"

namespace lahar::gpu {

struct Heap {
  uint64_t size = 0;    // bytes
  uint64_t budget = 0;  // that this process may use; size where the driver does not say
  uint64_t used = 0;    // by this process
  bool device_local = false, host_visible = false;
};

// A discrete GPU whose whole memory the host can reach: a heap that is device-local and host-visible and larger than the
// 256 MiB window of old.
bool has_resizable_bar(const std::vector<Heap>& heaps);

}  // namespace lahar::gpu
