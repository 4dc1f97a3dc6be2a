// The state slots that a run reads and writes (params_state.h).
#ifndef LAHAR_STATE_GLSL
#define LAHAR_STATE_GLSL
#include "rows.glsl"
#include "params_state.h"

// A run that reads no state begins with zeros.
bool state_reads(Run run) { return run.state_read != kNoState; }
bool state_writes(Run run) { return run.state_write != kNoState; }

uint64_t state_slot(StateAddress state, uint slot) {
  return state.base + uint64_t(min(slot, state.slots - 1)) * state.slot_bytes;
}
uint64_t state_in(StateAddress state, Run run) { return state_slot(state, run.state_read); }
uint64_t state_out(StateAddress state, Run run) { return state_slot(state, run.state_write); }
#endif
