// Picks the next token of each sampled run on the device, and advances the sequence states.
#pragma once

#include "ops/common.h"

namespace lahar::ops {

// Row i of logits belongs to the run whose last row is StepState::logit_rows[i]. For each run, with the parameters of its
// SeqState: probabilities p = softmax(logits / temperature); keep the top_k largest; of these (renormalised) the smallest
// set whose sum reaches top_p; of these those with p >= min_p * max p; draw one. temperature 0 takes the largest logit (the
// lowest id among equals). The random number depends on (seed, sequence, counter, token id) alone.
// Then, for every run: position += rows (up to limit); for a sampled run also last_token = token, counter += 1, and a
// record is written. Runs that are not sampled get a record with token -1. A row with a NaN, or with nothing above
// -infinity, gives a record with token params::kNoNumbers and a last_token of 0.
struct SampleParams {
  Activations logits;  // [n_logits, vocabulary]
  uint32_t vocabulary = 0;
  gpu::BufferRange states;  // params::SeqState[slots], read and written
  uint32_t slots = 0;
  gpu::BufferRange records;  // params::SampleRecord[kMaxRuns], record i for run i
  gpu::BufferRange scratch;  // sample_scratch_bytes() bytes
  StepRef step;
  uint32_t max_runs = 1;  // runs that this program can have
};
Status sample(gpu::Recorder& recorder, const SampleParams& params);
uint64_t sample_scratch_bytes(uint32_t max_runs, uint32_t vocabulary);

// The part of it that only advances the states: position += rows of every run. For steps that sample nothing.
Status advance(gpu::Recorder& recorder, const SampleParams& params);

}  // namespace lahar::ops
