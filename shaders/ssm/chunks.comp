// Between the two scans of chunks (ssm/scan.comp): what each chunk adds to the state becomes the state in front of it, and the
// state behind the last chunk of a run goes to its slot. Grid (quads of the state, runs), a quad an invocation; the chunks of a
// run one after the other. Reads and writes 16 bytes a quad and chunk.
#version 460
#extension GL_GOOGLE_include_directive : require
layout(local_size_x_id = 0) in;
layout(constant_id = 3) const uint HEADS = 1;
layout(constant_id = 4) const uint HEAD_DIM = 64;
layout(constant_id = 5) const uint STATE = 16;
layout(constant_id = 6) const uint FLAGS = 0;
#include "run_chunks.glsl"
#include "params_ssm.h"

layout(push_constant, scalar) uniform Push { SsmChunksPush p; };

const uint kRowQuads = (STATE + 3) / 4;

void main() {
  const uint r = gl_WorkGroupID.y;
  const uint q = gl_GlobalInvocationID.x;
  if (r >= step_runs(p.step) || q >= HEADS * HEAD_DIM * kRowQuads) return;
  const RunChunk run = whole_run(p.step, r);
  const uint first = chunks_before(p.step, r, kSsmChunk);
  const uint head = q / (HEAD_DIM * kRowQuads);
  vec4 a = vec4(0);
  if ((FLAGS & kSsmPerState) == 0) {
    a = vec4(load_f32(p.a, 4 * head));
  } else {
    for (uint i = 0; i < 4; ++i) {
      const uint n = 4 * (q % kRowQuads) + i;
      if (n < STATE) a[i] = load_f32(p.a, 4 * (head * STATE + n));
    }
  }
  vec4 state = state_reads(run.run) ? load_f32x4(state_in(p.state, run.run), 16 * q) : vec4(0);
  for (uint i = 0; i < chunks_of(run, kSsmChunk); ++i) {
    const uint index = min(first + i, p.chunks - 1);
    const uint64_t slot = p.ends + p.end_bytes * uint64_t(index);
    const vec4 added = load_f32x4(slot, 16 * q);
    store_f32x4(slot, 16 * q, state);
    state = exp(a * load_f32(p.times, 4 * (index * HEADS + head))) * state + added;
  }
  if (run.rows > 0 && state_writes(run.run)) store_f32x4(state_out(p.state, run.run), 16 * q, state);
}
