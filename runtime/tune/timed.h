// Pieces for measuring recorded work by itself.
#pragma once

#include <functional>
#include <memory>

#include "core/result.h"
#include "gpu/commands.h"
#include "gpu/device.h"
#include "ops/common.h"

namespace lahar::tune {

// Submits what was recorded and waits for it.
Status run_once(gpu::Recorder& recorder);

// Submits a list that was recorded with timestamps and waits for it. Returns its seconds, by the device's clock where it has
// one.
Result<double> time_nodes(gpu::Device& device, const gpu::CommandList& list);

// Records an op once, on one of the copies of what it reads.
using RecordCopy = std::function<Status(gpu::Recorder& recorder, uint32_t copy)>;

// A call recorded as often as a submission needs to be long enough to be measured, on copies that take turns.
class RepeatedCall {
 public:
  // estimate: seconds of one call, as far as they are known.
  static Result<RepeatedCall> create(gpu::Device& device, const RecordCopy& record, uint32_t copies, double estimate);

  // Seconds of one call.
  Result<double> run();
  // The median of some runs after one that warms up, as many as fit into `limit` seconds.
  Result<double> measure(uint32_t runs, double limit);

 private:
  RepeatedCall() = default;
  gpu::Device* device_ = nullptr;
  uint32_t calls_ = 1;
  std::unique_ptr<gpu::CommandList> list_;
};
// The same for a call of which nothing is known beforehand.
Result<double> measure_call(gpu::Device& device, const RecordCopy& record, uint32_t copies, uint32_t runs);

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
