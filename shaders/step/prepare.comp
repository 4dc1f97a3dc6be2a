// The start of every step: applies the host's deltas to the sequence states and page tables, then lays out the step's rows
// (StepState) that all other kernels read. One workgroup. Every index from the host is clamped.
#version 460
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_buffer_reference : require
#extension GL_EXT_scalar_block_layout : require
#extension GL_EXT_shader_explicit_arithmetic_types_int64 : require
#include "step.h"

layout(local_size_x_id = 0) in;

layout(buffer_reference, scalar, buffer_reference_align = 4) readonly buffer InputRef { StepInput v; };
layout(buffer_reference, scalar, buffer_reference_align = 4) readonly buffer TokensRef { int v[]; };
layout(buffer_reference, scalar, buffer_reference_align = 4) buffer StatesRef { SeqState v[]; };
layout(buffer_reference, scalar, buffer_reference_align = 4) buffer PagesRef { uint v[]; };
layout(buffer_reference, scalar, buffer_reference_align = 4) writeonly buffer StepRef { StepState v; };
layout(buffer_reference, scalar, buffer_reference_align = 4) writeonly buffer RowsRef { Row v[]; };

layout(push_constant, scalar) uniform Push { PrepareParams p; };

void main() {
  InputRef host = InputRef(p.step_input);
  StatesRef states = StatesRef(p.states);
  PagesRef pages = PagesRef(p.pages);
  const uint lane = gl_LocalInvocationIndex;
  const uint lanes = gl_WorkGroupSize.x;

  const uint n_states = min(host.v.n_state_updates, kMaxRuns);
  for (uint i = lane; i < n_states; i += lanes)
    states.v[min(host.v.state_updates[i].slot, p.slots - 1)] = host.v.state_updates[i].state;
  const uint n_pages = min(host.v.n_page_updates, kMaxPageUpdates);
  for (uint i = lane; i < n_pages; i += lanes) {
    const PageUpdate update = host.v.page_updates[i];
    pages.v[min(update.slot, p.slots - 1) * p.pages_per_slot + min(update.index, p.pages_per_slot - 1)] = update.page;
  }
  // The states written above are read below by other invocations.
  memoryBarrierBuffer();
  barrier();

  const uint n_rows = min(host.v.n_rows, p.bucket);
  const uint n_runs = min(host.v.n_runs, kMaxRuns);
  StepRef step = StepRef(p.step);
  if (lane == 0) {
    uint n_logits = 0;
    for (uint r = 0; r < n_runs; ++r) {
      Run run = host.v.runs[r];
      run.slot = min(run.slot, p.slots - 1);
      run.first_row = min(run.first_row, n_rows);
      run.rows = min(run.rows, n_rows - run.first_row);
      step.v.runs[r] = run;
      if (run.sampled != 0 && run.rows > 0) step.v.logit_rows[n_logits++] = run.first_row + run.rows - 1;
    }
    step.v.n_rows = n_rows;
    step.v.n_runs = n_runs;
    step.v.n_logits = n_logits;
    step.v.reserved = 0;
  }

  TokensRef tokens = TokensRef(p.step_input + kStepInputBytes);
  RowsRef rows = RowsRef(p.step + kStepRowsOffset);
  for (uint t = lane; t < p.bucket; t += lanes) {
    Row row = Row(0, 0, 0, 0, 0, 0, 0, 0);
    for (uint r = 0; r < n_runs && t < n_rows; ++r) {
      const Run run = host.v.runs[r];
      if (t < run.first_row || t - run.first_row >= run.rows) continue;
      row.slot = min(run.slot, p.slots - 1);
      row.run = r;
      const SeqState state = states.v[row.slot];
      row.kv_index = state.position + (t - run.first_row);
      row.position = row.kv_index + state.rope_offset;
      row.valid = row.kv_index < state.limit ? 1 : 0;
      const int given = tokens.v[t];
      row.token = clamp(given >= 0 ? given : state.last_token, 0, int(p.vocabulary) - 1);
      break;
    }
    rows.v[t] = row;
  }
}
