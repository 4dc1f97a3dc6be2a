// What a device really moves and multiplies, measured: the yardstick for kernels, instead of a datasheet.
#pragma once

#include "core/result.h"
#include "gpu/device.h"

namespace lahar::tune {

struct DeviceRates {
  double copy = 0;    // bytes read and written in a second by a large copy, the faster one of a kernel and the driver's own
  double matrix = 0;  // operations in a second (a multiply-add counts as two) of a large product with fp16 weights
};

// Of these the copy alone, in bytes a second. Errors: as below.
Result<double> measure_copy_rate(gpu::Device& device);

// Takes up to about a second, and up to a quarter of the free device memory (1 GiB at most) while it runs. Best of several
// runs by the wall clock. Means nothing on a device that only pretends to run. Errors: kOutOfMemory, kDeviceLost.
Result<DeviceRates> measure_device_rates(gpu::Device& device);

}  // namespace lahar::tune
