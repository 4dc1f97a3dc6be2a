// The step's state as kernels read it (step.h).
#ifndef LAHAR_ROWS_GLSL
#define LAHAR_ROWS_GLSL
#include "load.glsl"
#include "step.h"

layout(buffer_reference, scalar, buffer_reference_align = 4) readonly buffer StepStateRef { StepState v; };
layout(buffer_reference, scalar, buffer_reference_align = 4) readonly buffer RowRef { Row v; };

uint step_rows(uint64_t step) { return StepStateRef(step).v.n_rows; }
uint step_runs(uint64_t step) { return min(StepStateRef(step).v.n_runs, kMaxRuns); }
uint step_logits(uint64_t step) { return min(StepStateRef(step).v.n_logits, kMaxRuns); }
Row step_row(uint64_t step, uint t) { return RowRef(step + uint64_t(kStepRowsOffset + 32 * t)).v; }
Run step_run(uint64_t step, uint r) { return StepStateRef(step).v.runs[r]; }
// The row whose logits are row i of the logits; clamped to the rows of the step.
uint step_logit_row(uint64_t step, uint i) {
  return min(StepStateRef(step).v.logit_rows[min(i, kMaxRuns - 1)], max(step_rows(step), 1) - 1);
}
#endif
