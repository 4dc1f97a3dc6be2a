// The loop over a run's tokens: see recurrence.glsl.

// Rows of the state are spread so that the groups of a workgroup store neighbouring outputs.
uint state_row(uint i) { return (gl_WorkGroupID.x * ROWS + i) * GROUPS + group(); }

void load_state(Run run, uint head, uint rows) {
  const uint64_t base = state_in(p.state, run) + uint64_t(head) * (rows * KEY4 * 16);
  const bool known = state_reads(run);
  [[unroll]] for (uint i = 0; i < ROWS; ++i)
    [[unroll]] for (uint part = 0; part < PARTS; ++part)
      matrix[i * PARTS + part] =
          known && state_row(i) < rows ? load_key(base + uint64_t(state_row(i) * KEY4 * 16), part) : vec4(0);
}

void store_state(Run run, uint head, uint rows) {
  const uint64_t base = state_out(p.state, run) + uint64_t(head) * (rows * KEY4 * 16);
  [[unroll]] for (uint i = 0; i < ROWS; ++i)
    [[unroll]] for (uint part = 0; part < PARTS; ++part)
      if (state_row(i) < rows && key4_of(part) < KEY4)
        store_f32x4(base + uint64_t(state_row(i) * KEY4 * 16), 16 * key4_of(part), matrix[i * PARTS + part]);
}

void main() {
  const uint head = gl_WorkGroupID.y, r = gl_WorkGroupID.z;
  if (r >= step_runs(p.step)) return;
  const Run run = step_run(p.step, r);
  if (run.rows == 0) return;
  const uint rows = value_dim();
  load_state(run, head, rows);
  for (uint first = 0; first < run.rows; first += CHUNK) {
    const uint n = min(CHUNK, run.rows - first);
    for (uint at = group(); at < (CHUNK + GROUPS - 1) / GROUPS * GROUPS; at += GROUPS)
      stage(min(at, CHUNK - 1), at < n, run.first_row + first + min(at, n - 1));
    for (uint v = flat_lane(); v < n * ROWS * GROUPS; v += gl_WorkGroupSize.x) {
      const uint row = gl_WorkGroupID.x * ROWS * GROUPS + v % (ROWS * GROUPS);
      if (row < rows) values[v] = value_at(run.first_row + first + v / (ROWS * GROUPS), row);
    }
    sync();
    for (uint at = 0; at < n; ++at) {
      float v[ROWS];
      [[unroll]] for (uint i = 0; i < ROWS; ++i) v[i] = values[(at * ROWS + i) * GROUPS + group()];
      advance(at, v);
      const uint64_t y = p.y + uint64_t(run.first_row + first + at) * (4 * p.y_stride);
      [[unroll]] for (uint i = 0; i < ROWS; ++i)
        if (lane_of_row() == i % LANES && state_row(i) < rows) store_f32(y, 4 * (head * rows + state_row(i)), v[i]);
    }
    sync();
  }
  if (state_writes(run)) store_state(run, head, rows);
}
