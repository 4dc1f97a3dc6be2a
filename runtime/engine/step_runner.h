// Steps on the device: programs recorded once per shape and replayed, a ring of host-visible inputs and results, and the
// device-resident sequence states. Knows nothing of scheduling.
// Thread rule: one thread at a time.
#pragma once

#include <array>
#include <atomic>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "blocks/transformer.h"
#include "core/result.h"
#include "engine/expert_cache.h"
#include "engine/kv_storage.h"
#include "engine/state_storage.h"
#include "gpu/commands.h"
#include "gpu/device.h"
#include "step.h"

namespace lahar {

enum class LogitMode {
  kNone,     // nothing is sampled, the head is skipped
  kSampled,  // the last row of every sampled run
  kAll,      // every row; nothing is sampled; the logits are read back
};

// What a program is recorded for. bucket: rows at most, a power of two.
struct StepShape {
  uint32_t bucket = 1;
  LogitMode logits = LogitMode::kSampled;
  uint32_t context = 0;  // no row is at this position or beyond; 0: the longest there is
  bool sliced = false;   // a list a layer, for submissions of a time slice each
  auto operator<=>(const StepShape&) const = default;
};

// One step, as the scheduler wants it. The rows of the runs follow each other.
struct StepPlan {
  LogitMode logits = LogitMode::kSampled;
  std::vector<params::Run> runs;
  std::vector<int32_t> tokens;  // one a row; -1: the slot's last token
  std::vector<params::StateUpdate> states;
  std::vector<params::PageUpdate> pages;
};

struct StepTicket {
  uint32_t ring = 0;
  uint64_t timeline = 0;  // the device has finished the step when its timeline reaches this
  uint32_t rows = 0, runs = 0;
};

struct StepRunnerOptions {
  uint32_t max_bucket = 512;  // a power of two
  uint32_t ring = 3;          // steps that can be under way at once
  uint32_t slots = 1;
  bool all_logits = false;         // LogitMode::kAll will be used: memory to read logits back is set aside
  bool sampled_logits = false;     // LogitMode::kSampled reads back the logits that were sampled from
  ExpertCache* experts = nullptr;  // where experts come and go; made for this ring, must outlive the StepRunner
};

// Seconds of the host's time that steps took, summed up.
struct HostSeconds {
  double record = 0;  // of programs seen for the first time
  double write = 0;   // of the step's input
  double submit = 0;  // in the driver
  double wait = 0;    // for the device
};

// One node of a recorded step, as the device timed it.
struct TracedNode {
  std::string label;   // "L3 qkv"
  std::string kernel;  // "gemv q4_0", or "copy", "fill"
  gpu::GroupCount groups;
  bool barrier_before = false;
  double begin_ns = 0, duration_ns = 0;  // since the step's first node began
  uint64_t bytes = 0;                    // read and written, as declared, the KV pool left out
  bool reads_kv = false;                 // reads the KV pool
};
struct StepTrace {
  std::vector<TracedNode> nodes;  // in recorded order
  bool timed = false;             // false where the queue has no timestamps, or gave none: all times are 0
  StepTicket ticket;              // of the step, for StepRunner::wait()
};

class StepRunner {
 public:
  // `transformer`, `kv` and `recurrent` must outlive the result.
  static Result<std::unique_ptr<StepRunner>> create(std::shared_ptr<gpu::Device> device, const Transformer& transformer,
                                                    const KvStorage& kv, const StateStorage& recurrent,
                                                    StepRunnerOptions options);
  ~StepRunner();  // waits for what is under way
  // Of device memory, of max_bucket and slots alone.
  static uint64_t device_bytes(const StepRunnerOptions& options, uint32_t vocabulary);

  // Writes the step's input and submits it. Blocks only where all of the ring is under way. A shape seen for the first time
  // is recorded for every place of the ring. Errors: kInvalidArgument (a plan beyond the limits), kDeviceLost, kOutOfMemory.
  Result<StepTicket> submit(const StepPlan& plan);
  // Waits for the step. The views stay valid until `ring` more steps have been submitted.
  struct Outcome {
    std::span<const params::SampleRecord> records;  // one a run
    std::span<const float> logits;  // [rows, logits_stride] with LogitMode::kAll; [runs, ...] with sampled_logits
    uint32_t logits_stride = 0;     // floats; at least the vocabulary
  };
  Result<Outcome> wait(const StepTicket& ticket);

  uint32_t ring() const { return options_.ring; }
  uint32_t max_bucket() const { return options_.max_bucket; }
  uint64_t steps_submitted() const { return submitted_steps_; }
  // Programs recorded so far, each place of the ring counted.
  uint64_t recorded() const { return recorded_; }
  struct ProgramSize {
    uint32_t dispatches = 0, barriers = 0, lists = 0;
  };
  // Records the shape where it is not yet.
  Result<ProgramSize> program_size(const StepShape& shape);

  // Runs the step from a program recorded for this call alone, with timestamps around every node. They keep nodes from
  // overlapping: the sum of the times is an upper bound of the step's. Blocks.
  Result<StepTrace> trace(const StepPlan& plan);

  // Submissions of at most about so long, and never more than two of them under way: what an application draws with the same
  // device waits no longer than that. 0: steps are submitted whole. From the next step on. Any thread.
  void set_time_slice(double seconds) { time_slice_ = seconds; }

  // Where set, the host's time is added up there; must live as long as it is set.
  void measure_host(HostSeconds* sums) { host_ = sums; }

  // Every later submission waits for it (for tests).
  void set_gate(std::optional<gpu::TimelineWait> gate) { gate_ = gate; }
  // All buffers that a step may touch but weights and the KV pool, for tests that prove declared accesses.
  const gpu::Buffer& states() const { return states_; }

 private:
  struct Place {  // of the ring
    gpu::Buffer input, records, logits;
    uint64_t pending = 0;
  };
  struct Program {
    std::vector<gpu::CommandList> lists;
  };
  struct Slice {  // a submission under way
    uint64_t timeline = 0;
    size_t lists = 0;
    uint32_t bucket = 0;
    double submitted = 0;  // seconds of a clock
  };

  StepRunner(std::shared_ptr<gpu::Device> device, const Transformer& transformer, const KvStorage& kv,
             const StateStorage& recurrent, StepRunnerOptions options)
      : device_(std::move(device)), transformer_(transformer), kv_(kv), recurrent_(recurrent), options_(options) {}
  Status allocate();
  Result<Program*> program(const StepShape& shape, uint32_t ring);
  Result<Program> record(const StepShape& shape, uint32_t ring);
  // The step's nodes. `cut` is called where a long step may be cut into submissions.
  Status record_nodes(gpu::Recorder& recorder, const StepShape& shape, uint32_t ring, const std::function<Status()>& cut);
  Status record_logits(gpu::Recorder& recorder, const StepShape& shape, const ops::StepRef& step, const Place& place);
  TracedNode traced(const gpu::Node& node) const;
  void record_prepare(gpu::Recorder& recorder, const StepShape& shape, const Place& place);
  // Waits for the place's step before, and writes the next one's input.
  Status begin_step(const StepPlan& plan, uint32_t ring);
  void write_input(const StepPlan& plan, Place& place);
  Status finish_step(uint32_t ring);
  Status check(const StepPlan& plan) const;
  Result<uint64_t> submit_slices(const Program& program, const StepShape& shape);
  // Waits for the oldest slice and learns from how long it took.
  Status finish_slice();
  // What the plan's program is recorded for. Follows the positions of the slots: called once for each step, in order.
  StepShape shape_of(const StepPlan& plan);

  std::shared_ptr<gpu::Device> device_;
  const Transformer& transformer_;
  const KvStorage& kv_;
  const StateStorage& recurrent_;
  StepRunnerOptions options_;
  gpu::Buffer states_, step_state_, sample_scratch_;
  std::vector<Place> places_;
  std::vector<uint32_t> positions_;  // by slot: where the device is at most
  std::map<std::pair<StepShape, uint32_t>, Program> programs_;
  uint64_t submitted_steps_ = 0, recorded_ = 0;
  std::optional<gpu::TimelineWait> gate_;
  std::vector<gpu::TimelineWait> waits_;  // of the step at hand
  HostSeconds* host_ = nullptr;
  std::atomic<double> time_slice_ = 0;       // seconds
  std::deque<Slice> slices_;                 // under way, the oldest first
  std::map<uint32_t, double> list_seconds_;  // by bucket: how long a list takes
  double slice_finished_ = 0;                // when the last one was seen to end
};

}  // namespace lahar
