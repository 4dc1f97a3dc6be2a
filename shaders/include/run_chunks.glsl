// Runs and their chunks of `size` rows, for scans that take the chunks of a run at once.
#ifndef LAHAR_RUN_CHUNKS_GLSL
#define LAHAR_RUN_CHUNKS_GLSL
#include "state.glsl"

struct RunChunk {
  Run run;
  uint first, rows;  // of the step
};

RunChunk whole_run(uint64_t step, uint r) {
  RunChunk chunk;
  chunk.run = step_run(step, r);
  const uint n_rows = step_rows(step);
  chunk.first = min(chunk.run.first_row, n_rows);
  chunk.rows = min(chunk.run.rows, n_rows - chunk.first);
  return chunk;
}

uint chunks_of(RunChunk run, uint size) { return (run.rows + size - 1) / size; }

// How many chunks the runs before `r` have: the index of the first chunk of run r.
uint chunks_before(uint64_t step, uint r, uint size) {
  uint n = 0;
  for (uint before = 0; before < r; ++before) n += chunks_of(whole_run(step, before), size);
  return n;
}

// Chunk `index` of all runs' together, one run behind the other; of no rows where there are not so many.
RunChunk run_chunk(uint64_t step, uint index, uint size) {
  const uint runs = step_runs(step);
  RunChunk chunk;
  chunk.first = chunk.rows = 0;
  for (uint r = 0; r < runs; ++r) {
    chunk = whole_run(step, r);
    const uint chunks = chunks_of(chunk, size);
    if (index < chunks) {
      chunk.first += index * size;
      chunk.rows = min(size, chunk.rows - index * size);
      return chunk;
    }
    index -= chunks;
  }
  chunk.rows = 0;
  return chunk;
}
#endif
