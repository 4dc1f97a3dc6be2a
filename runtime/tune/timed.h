// Pieces for measuring recorded work by itself.
#pragma once

#include <functional>

#include "core/result.h"
#include "gpu/commands.h"
#include "gpu/device.h"
#include "ops/common.h"

namespace lahar::tune {

// Submits what was recorded and waits for it.
Status run_once(gpu::Recorder& recorder);

// Seconds that what `record` records takes once, by the wall clock: it is recorded as often as needed to take some 20 ms in
// one submission, and the best of several counts. The first run, which warms up, does not.
Result<double> time_recording(gpu::Device& device, const std::function<Status(gpu::Recorder&)>& record);

// The state of a step whose rows are all in use, each of slot 0 at positions from `position` on; the logits of the
// last rows are wanted, as many as a step may ask for.
class TimedStep {
 public:
  static Result<TimedStep> create(gpu::Device& device, uint32_t rows, uint32_t position = 0);
  ops::StepRef ref() const { return {buffer_, rows_}; }

 private:
  gpu::Buffer buffer_;
  uint32_t rows_ = 0;
};

}  // namespace lahar::tune
