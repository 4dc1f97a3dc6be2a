// What the end of a step does to a sequence's state.
#ifndef LAHAR_ADVANCE_GLSL
#define LAHAR_ADVANCE_GLSL
#include "rows.glsl"

layout(buffer_reference, scalar, buffer_reference_align = 4) buffer StatesRef { SeqState v[]; };
layout(buffer_reference, scalar, buffer_reference_align = 4) writeonly buffer RecordsRef { SampleRecord v[]; };

// The position after the run's rows.
uint advanced(SeqState state, uint rows) {
  return state.position < state.limit ? min(state.position + rows, state.limit) : state.position;
}
#endif
