// Selective scan of a run's rows, one after the other, the state in registers: a team of TEAM lanes has UNITS dims of one head,
// each lane QUADS quads of their state rows. Grid (blocks of dims, runs). State rows are padded to whole quads, the padding is
// zero. Reads the state once, writes it once, and 4 * (state / UNITS) bytes of B and C a dim and row from cache.
// Long runs go in chunks of kSsmChunk rows, all at once (grid (blocks, chunks)): MODE kSsmEnds computes what a chunk adds to the
// state and by how much the state decays in it, ssm/chunks.comp the state in front of each chunk, kSsmRows y from there.
#version 460
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
#extension GL_KHR_shader_subgroup_basic : require
#extension GL_KHR_shader_subgroup_shuffle : require
layout(local_size_x_id = 0) in;
layout(constant_id = 3) const uint TEAM = 8;   // a power of two, at most a subgroup
layout(constant_id = 4) const uint QUADS = 1;  // TEAM * QUADS * 4 >= STATE
layout(constant_id = 5) const uint UNITS = 1;
layout(constant_id = 6) const uint HEADS = 1;
layout(constant_id = 7) const uint HEAD_DIM = 64;
layout(constant_id = 8) const uint GROUPS = 1;
layout(constant_id = 9) const uint STATE = 16;
layout(constant_id = 10) const uint FLAGS = 0;
layout(constant_id = 11) const uint MODE = 0;  // kSsmWhole, kSsmEnds, kSsmRows
#include "run_chunks.glsl"
#include "params_ssm.h"

layout(push_constant, scalar) uniform Push { SsmScanPush p; };

const uint kRowQuads = (STATE + 3) / 4;
const uint kBlocks = (HEAD_DIM + UNITS - 1) / UNITS;  // of a head

vec4 s[UNITS * QUADS];

// log(1 + e^x); as it is beyond 20, where the two agree in fp32.
float softplus(float x) {
  if (x > 20) return x;
  const float e = exp(x);
  if (e < 0.05) return e * (1 - e * (0.5 - e * (1.0 / 3 - e * (0.25 - e * 0.2))));
  return log(1 + e);
}

// Quad `quad` of a vector of STATE floats that need not begin aligned; beyond it are zeros.
vec4 load_state_quad(uint64_t base, uint quad, bool aligned) {
  if (aligned) return load_f32x4(base, 16 * quad);
  vec4 v = vec4(0);
  for (uint i = 0; i < 4; ++i)
    if (4 * quad + i < STATE) v[i] = load_f32(base, 16 * quad + 4 * i);
  return v;
}

float sum4(vec4 v) { return (v.x + v.y) + (v.z + v.w); }

void main() {
  RunChunk chunk;
  if (MODE == kSsmWhole) {
    if (gl_WorkGroupID.y >= step_runs(p.step)) return;
    chunk = whole_run(p.step, gl_WorkGroupID.y);
  } else {
    chunk = run_chunk(p.step, gl_WorkGroupID.y, kSsmChunk);
    if (chunk.rows == 0) return;
  }
  const Run run = chunk.run;
  const bool reads = MODE == kSsmRows || (MODE == kSsmWhole && state_reads(run));
  const bool writes = MODE == kSsmEnds || (MODE == kSsmWhole && state_writes(run));
  // Of chunks, a slot each.
  const uint64_t chunk_state = p.state.base + p.state.slot_bytes * uint64_t(min(gl_WorkGroupID.y, p.state.slots - 1));
  const uint64_t from = MODE == kSsmWhole ? state_in(p.state, run) : chunk_state;
  const uint64_t to = MODE == kSsmWhole ? state_out(p.state, run) : chunk_state;

  const uint teams = gl_WorkGroupSize.x / TEAM;
  const uint team = gl_SubgroupID * (gl_SubgroupSize / TEAM) + gl_SubgroupInvocationID / TEAM;
  const uint lane = gl_SubgroupInvocationID % TEAM;
  const uint block = gl_WorkGroupID.x * teams + team;
  // Teams beyond the last block go along: the shuffles are for all lanes.
  const bool active_team = block < HEADS * kBlocks && chunk.rows > 0;
  const uint head = min(block / kBlocks, HEADS - 1);
  const uint dim = (block % kBlocks) * UNITS;
  const uint channel = head * HEAD_DIM + dim;
  const uint group = head / (HEADS / GROUPS);

  for (uint u = 0; u < UNITS; ++u)
    for (uint i = 0; i < QUADS; ++i) {
      const uint quad = lane + TEAM * i;
      const bool there = active_team && reads && dim + u < HEAD_DIM && quad < kRowQuads;
      s[u * QUADS + i] = there ? load_f32x4(from, 16 * ((channel + u) * kRowQuads + quad)) : vec4(0);
    }
  const float a = (FLAGS & kSsmPerState) != 0 ? 0 : load_f32(p.a, 4 * head);
  const float d = (FLAGS & kSsmSkip) != 0 ? load_f32(p.d, 4 * head) : 0;
  const float dt_bias = (FLAGS & kSsmBias) != 0 ? load_f32(p.dt_bias, 4 * head) : 0;
  const bool aligned = (FLAGS & kSsmAligned) != 0;
  vec4 a_row[QUADS];
  for (uint i = 0; i < QUADS; ++i)
    a_row[i] = (FLAGS & kSsmPerState) != 0 && lane + TEAM * i < kRowQuads
                   ? load_state_quad(p.a + uint64_t(4 * head * STATE), lane + TEAM * i, STATE % 4 == 0)
                   : vec4(0);

  float time = 0;  // of the chunk
  for (uint t = chunk.first; t < chunk.first + chunk.rows; ++t) {
    const float raw = load_f32(p.dt + uint64_t(t) * (4 * p.dt_stride), 4 * head);
    const float dt = clamp(softplus(p.dt_scale * raw + dt_bias), p.dt_min, p.dt_max);
    time += dt;
    const float decay = exp(dt * a);
    const uint64_t b = p.b + uint64_t(t) * (4 * p.bc_stride) + uint64_t(4 * group * STATE);
    const uint64_t c = p.c + uint64_t(t) * (4 * p.bc_stride) + uint64_t(4 * group * STATE);
    const uint64_t x = p.x + uint64_t(t) * (4 * p.x_stride);
    float x_dim[UNITS];
    vec4 y_dim[UNITS];
    for (uint u = 0; u < UNITS; ++u) {
      x_dim[u] = load_f32(x, 4 * min(channel + u, HEADS * HEAD_DIM - 1));
      y_dim[u] = vec4(0);
    }
    for (uint i = 0; i < QUADS; ++i) {
      const uint quad = lane + TEAM * i;
      if (quad >= kRowQuads) continue;
      const vec4 bq = dt * load_state_quad(b, quad, aligned);
      const vec4 cq = MODE == kSsmEnds ? vec4(0) : load_state_quad(c, quad, aligned);
      const vec4 keep = (FLAGS & kSsmPerState) != 0 ? exp(dt * a_row[i]) : vec4(decay);
      for (uint u = 0; u < UNITS; ++u) {
        const vec4 next = keep * s[u * QUADS + i] + x_dim[u] * bq;
        s[u * QUADS + i] = next;
        if (MODE != kSsmEnds) y_dim[u] += next * cq;
      }
    }
    if (MODE == kSsmEnds) continue;
    for (uint u = 0; u < UNITS; ++u) {
      float y = sum4(y_dim[u]);
      for (uint mask = 1; mask < TEAM; mask <<= 1) y += subgroupShuffleXor(y, mask);
      if (active_team && lane == u % TEAM && dim + u < HEAD_DIM)
        store_f32(p.y + uint64_t(t) * (4 * p.y_stride), 4 * (channel + u), y + d * x_dim[u]);
    }
  }

  if (!active_team) return;
  // One of a head's teams says how long the chunk was: exp(A * time) is its decay.
  if (MODE == kSsmEnds && dim == 0 && lane == 0) store_f32(p.y, 4 * (gl_WorkGroupID.y * HEADS + head), time);
  if (!writes) return;
  for (uint u = 0; u < UNITS; ++u)
    for (uint i = 0; i < QUADS; ++i) {
      const uint quad = lane + TEAM * i;
      if (dim + u < HEAD_DIM && quad < kRowQuads)
        store_f32x4(to, 16 * ((channel + u) * kRowQuads + quad), s[u * QUADS + i]);
    }
}
