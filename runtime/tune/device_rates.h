// What a device really moves and multiplies, measured: the yardstick for kernels, instead of a datasheet.
#pragma once

#include "core/result.h"
#include "gpu/device.h"
#include "ops/tuning.h"

namespace lahar::tune {

struct DeviceRates {
  double copy = 0;  // bytes read and written in a second by a large copy, the faster one of a kernel and the driver's own
  // Operations in a second (a multiply-add counts as two) of a large product with fp16 weights, in its fastest form.
  double matrix = 0;
};

// Of these the copy alone, in bytes a second. Errors: as below.
Result<double> measure_copy_rate(gpu::Device& device);

// Takes up to some two seconds, and up to a quarter of the free device memory (1 GiB at most) while it runs. Best of several
// runs by the wall clock. Of the product, forms that are right and not in `tuning`'s quarantine count, as many as there is
// time for. Means nothing on a device that only pretends to run. Errors: kOutOfMemory, kDeviceLost.
Result<DeviceRates> measure_device_rates(gpu::Device& device, const ops::Tuning* tuning = nullptr);

}  // namespace lahar::tune
