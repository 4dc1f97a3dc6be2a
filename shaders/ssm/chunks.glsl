// Runs and their chunks, as the scans of ssm/ take them.
#ifndef LAHAR_SSM_CHUNKS_GLSL
#define LAHAR_SSM_CHUNKS_GLSL
#include "state.glsl"
#include "params_ssm.h"

struct SsmChunk {
  Run run;
  uint first, rows;  // of the step
};

// A whole run.
SsmChunk ssm_run(uint64_t step, uint r) {
  SsmChunk chunk;
  chunk.run = step_run(step, r);
  const uint n_rows = step_rows(step);
  chunk.first = min(chunk.run.first_row, n_rows);
  chunk.rows = min(chunk.run.rows, n_rows - chunk.first);
  return chunk;
}

uint ssm_chunks(SsmChunk run) { return (run.rows + kSsmChunk - 1) / kSsmChunk; }

// Chunk `index` of all runs' together, one run behind the other; of no rows where there are not so many.
SsmChunk ssm_chunk(uint64_t step, uint index) {
  const uint runs = step_runs(step);
  SsmChunk chunk;
  chunk.first = chunk.rows = 0;
  for (uint r = 0; r < runs; ++r) {
    chunk = ssm_run(step, r);
    const uint chunks = ssm_chunks(chunk);
    if (index < chunks) {
      chunk.first += index * kSsmChunk;
      chunk.rows = min(kSsmChunk, chunk.rows - index * kSsmChunk);
      return chunk;
    }
    index -= chunks;
  }
  chunk.rows = 0;
  return chunk;
}
#endif
