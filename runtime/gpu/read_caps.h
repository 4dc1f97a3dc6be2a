// How a capability record is filled.
#pragma once

#include "gpu/caps.h"

namespace lahar::gpu {

struct PhysicalDevice;

// disabled_features: bits of Feature to leave out.
Caps read_caps(const PhysicalDevice& device, uint32_t queue_family, uint32_t disabled_features);

}  // namespace lahar::gpu
