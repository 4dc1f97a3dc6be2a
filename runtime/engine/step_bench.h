// Steps to be timed or traced: random prompts and greedy decoding at a chosen depth, for several sequences at once. It
// drives the engine's StepRunner itself and lays out the KV pool as it likes: the engine generates nothing afterwards.
// Thread rule: one thread at a time.
#pragma once

#include <vector>

#include "engine/engine.h"

namespace lahar {

class StepBench {
 public:
  // `engine` must outlive it.
  explicit StepBench(Engine& engine);

  // The most sequences that decode() takes.
  uint32_t slots() const { return engine_.kv().slots(); }

  // Seconds that a prompt of `tokens` random tokens takes after `depth` tokens in the cache. Errors: kLimit (they do not fit
  // into the context), those of StepRunner.
  Result<double> prefill(uint32_t tokens, uint32_t depth);

  // Seconds that `steps` decode steps take, each with one token of each of `batch` sequences. The first sequence's cache is
  // computed up to `depth`, the others' are copies of it in pages of their own. Errors: as above, and kLimit beyond slots().
  Result<double> decode(uint32_t steps, uint32_t depth, uint32_t batch);

  // One chunk of a prompt, and one decode step. Errors: as above.
  Result<StepTrace> trace_prefill(uint32_t tokens, uint32_t depth);
  Result<StepTrace> trace_decode(uint32_t depth, uint32_t batch);

  // Tokens that decode() found in the records of its steps, all calls together. Fewer than steps * batch: the device did not
  // really run them.
  uint64_t tokens_read() const { return tokens_read_; }

 private:
  Status check(uint64_t tokens, uint32_t batch) const;
  // Sequence `slot` continues at `depth`, and has pages for `tokens` more.
  void place(uint32_t slot, uint32_t depth, uint32_t tokens);
  // Makes the caches of the first `batch` sequences hold at least `depth` tokens.
  Status fill(uint32_t depth, uint32_t batch);
  Status run_prompt(const std::vector<int32_t>& tokens, LogitMode last);
  // What place() has left to tell the device, as far as one step can carry it; the rest goes ahead in steps without work.
  Status announce(StepPlan& plan);
  StepPlan prompt_step(std::span<const int32_t> tokens, LogitMode logits) const;
  StepPlan decode_step(uint32_t batch) const;
  // Gives the runs of a step that is submitted next the state slots to read and write. Each sequence has two, in turns.
  // States are of as many tokens as it happens, whatever the depth: that costs the same.
  void give_states(StepPlan& plan);
  gpu::BufferRange state_of(uint32_t slot) const;

  Engine& engine_;
  struct Slot {
    uint32_t filled = 0;  // tokens whose keys and values are in the cache
    uint32_t pages = 0;   // announced
    uint32_t state = 0;   // which of the two holds its recurrent state
  };
  std::vector<Slot> slots_;
  uint64_t tokens_read_ = 0;
  std::vector<params::StateUpdate> states_;
  std::vector<params::PageUpdate> pages_;
};

}  // namespace lahar
