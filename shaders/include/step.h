// What a step is, in device memory. The host writes StepInput (one a ring slot, host-visible); the prepare kernel applies
// it to the sequence states and page tables and fills StepState, which every other kernel reads; the sampler advances the
// states. Between steps in which nobody joins or leaves, the host writes nothing.
#ifndef LAHAR_STEP_H
#define LAHAR_STEP_H
#include "shared.h"
LAHAR_SHARED_BEGIN

// Tokens in a page of the KV pool.
const uint kPageTokens = 16;
// Runs (sequences) in one step at most.
const uint kMaxRuns = 32;
// Page table entries that one step can change.
const uint kMaxPageUpdates = 512;

// One a slot: a sequence as the device knows it.
struct SeqState {
  uint position;      // tokens in the KV cache; the position of the next one
  int last_token;     // sampled, not yet in the cache
  uint counter;       // tokens sampled so far: the random counter
  uint limit;         // positions at or above it are not written (the context, or what the pages reach); 0: inactive
  float temperature;  // 0: greedy
  uint top_k;         // 0: off
  float top_p;        // 1: off
  float min_p;        // 0: off
  uint seed_low;
  uint seed_high;
  uint sequence;     // mixes into the random numbers, with the seed and the counter
  uint rope_offset;  // how far RoPE's positions are ahead of those in the cache (engine/streaming.h)
};
LAHAR_SHARED_SIZE(SeqState, 48)

// Consecutive rows of one sequence. Recurrent layers read their state of before the first row from one state slot and write
// that of after the last row to another: neither is ever both, so that a state stays until the host gives its slot away.
struct Run {
  uint slot;
  uint first_row;
  uint rows;
  uint sampled;      // 1: the last row's logits are sampled, and the token becomes the slot's last_token
  uint state_read;   // kNoState: zeros
  uint state_write;  // kNoState: nothing is written
};
LAHAR_SHARED_SIZE(Run, 24)
const uint kNoState = 0xffffffffu;

// One token of the step. 32 bytes.
struct Row {
  int token;
  uint slot;
  uint position;  // for RoPE and learned positions
  uint kv_index;  // where its key and value go in the sequence's cache, and the last one it may attend to
  uint valid;     // 0: writes nothing (beyond the limit, or padding)
  uint run;       // its run, an index of StepState::runs
  uint reserved1;
  uint reserved2;
};
LAHAR_SHARED_SIZE(Row, 32)

// Followed in memory by Row rows[bucket].
struct StepState {
  uint n_rows;
  uint n_runs;
  uint n_logits;  // rows whose logits are computed
  uint reserved;
  Run runs[kMaxRuns];
  uint logit_rows[kMaxRuns];  // indices of rows
};
LAHAR_SHARED_SIZE(StepState, 16 + 24 * 32 + 4 * 32)
const uint kStepLogitRowsOffset = 16 + 24 * kMaxRuns;
const uint kStepRowsOffset = kStepLogitRowsOffset + 4 * kMaxRuns;

struct PageUpdate {
  uint slot;
  uint index;  // in the slot's page table
  uint page;
};
LAHAR_SHARED_SIZE(PageUpdate, 12)

struct StateUpdate {
  uint slot;
  SeqState state;
};
LAHAR_SHARED_SIZE(StateUpdate, 52)

// Followed in memory by int tokens[bucket], each -1 for the slot's last_token.
struct StepInput {
  uint n_rows;
  uint n_runs;
  uint n_state_updates;
  uint n_page_updates;
  Run runs[kMaxRuns];
  StateUpdate state_updates[kMaxRuns];
  PageUpdate page_updates[kMaxPageUpdates];
};
LAHAR_SHARED_SIZE(StepInput, 16 + 24 * 32 + 52 * 32 + 12 * 512)
const uint kStepInputBytes = 16 + 24 * kMaxRuns + 52 * kMaxRuns + 12 * kMaxPageUpdates;

struct PrepareParams {
  address_t step_input;  // StepInput
  address_t states;      // SeqState[slots]
  address_t pages;       // uint[slots][pages_per_slot]
  address_t step;        // StepState
  uint slots;
  uint pages_per_slot;
  uint bucket;
  uint vocabulary;  // token ids are clamped to it
};
LAHAR_SHARED_SIZE(PrepareParams, 48)

// What the sampler says of one run; the host reads it.
struct SampleRecord {
  int token;      // -1: the run was not sampled
  float logprob;  // natural logarithm of the token's probability, before temperature and truncation
  float entropy;  // of that distribution, in nats
  uint position;  // of the sampled token
};
LAHAR_SHARED_SIZE(SampleRecord, 16)

// Where keys and values lie. A page holds kPageTokens tokens of every layer:
//   page: [layer][K | V | scales]; K and V [kv_head][token][dim] in the cache's type, scales [kv_head][K | V][token]
// `layer_offset` is the byte in a page where this layer's K begins, `value_offset` where its V begins; the scales follow V,
// which is as large as K. Where values are dims of the keys there is no V: [K | scales], scales at `value_offset`,
// [kv_head][token]. Page p lies at segments[p / pages_per_segment] + (p % pages_per_segment) * page_bytes.
struct KvAddress {
  address_t segments;  // of uint64_t bases
  address_t pages;     // of uint page_table[slot][pages_per_slot]
  uint pages_per_slot;
  uint pages_per_segment;
  uint n_pages;  // in the pool; indices are clamped to it
  uint page_bytes;
  uint layer_offset;
  uint value_offset;
};
LAHAR_SHARED_SIZE(KvAddress, 40)

LAHAR_SHARED_END
#endif
