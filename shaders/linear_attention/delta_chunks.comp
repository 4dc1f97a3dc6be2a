// The gated delta rule over whole chunks of tokens (delta_net.comp: one token after the other). With S the state in front of a
// chunk, a_ti and b_ti what delta_pairs.comp wrote and the coefficients c of a token:
//   d_t = c.x v_t - c.y S k_t - sum over i < t of a_ti d_i        (a triangular system a row of S)
//   y_t = c.z S q_t + sum over i <= t of b_ti d_i
//   S <- decay S + sum over t of c.w d_t k_t^T
// LANES invocations hold ROWS rows of the state in registers, PARTS times four floats of each. Grid (rows of the state, heads,
// runs). Every token's key and query come from cache, once for ROWS rows; nothing is shared but by shuffles in a subgroup.
#version 460
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
#extension GL_KHR_shader_subgroup_basic : require
#extension GL_KHR_shader_subgroup_shuffle : require
layout(local_size_x_id = 0) in;
layout(constant_id = 3) const uint KEY4 = 16;  // a fourth of the key dim
layout(constant_id = 4) const uint LANES = 4;  // a power of two, at most a subgroup
layout(constant_id = 5) const uint PARTS = 4;  // LANES * PARTS >= KEY4
layout(constant_id = 6) const uint ROWS = 1;
layout(constant_id = 7) const uint GROUPS = 8;
layout(constant_id = 8) const uint CHUNK = 16;  // a multiple of 4
#include "run_chunks.glsl"
#include "params_linear_attention.h"
#include "linear_attention/delta.glsl"

layout(push_constant, scalar) uniform Push { DeltaChunksPush p; };

vec4 matrix[ROWS * PARTS];
float sums[ROWS * CHUNK];     // of a row of the state with each token's key or query
float changes[ROWS * CHUNK];  // d

uint flat_lane() { return gl_SubgroupID * gl_SubgroupSize + gl_SubgroupInvocationID; }
uint lane_of_row() { return LANES == 1 ? 0 : flat_lane() % LANES; }
uint state_row(uint i) { return (gl_WorkGroupID.x * ROWS + i) * GROUPS + flat_lane() / LANES; }
uint key4_of(uint part) { return part * LANES + lane_of_row(); }
bool whole(uint part) { return (part + 1) * LANES <= KEY4; }  // the part has no lanes behind the key dim

vec4 load_key(uint64_t base, uint offset, uint part) {
  return whole(part) || key4_of(part) < KEY4 ? load_f32x4(base, offset + 16 * key4_of(part)) : vec4(0);
}

// Rows of the state with the vectors of all tokens, row t of them `t * stride` bytes behind the base.
void multiply(uint64_t base, uint stride, uint last) {
  [[unroll]] for (uint i = 0; i < ROWS * CHUNK; ++i) sums[i] = 0;
  [[unroll]] for (uint part = 0; part < PARTS; ++part)
    [[unroll]] for (uint t = 0; t < CHUNK; ++t) {
      const vec4 v = load_key(base, min(t, last) * stride, part);
      [[unroll]] for (uint i = 0; i < ROWS; ++i) sums[i * CHUNK + t] += dot(matrix[i * PARTS + part], v);
    }
  [[unroll]] for (uint mask = 1; mask < LANES; mask *= 2)
    [[unroll]] for (uint i = 0; i < ROWS * CHUNK; ++i) sums[i] += subgroupShuffleXor(sums[i], mask);
}

// The system of row i: changes take the place of its right side.
void solve(uint64_t pairs, uint64_t v, uint i, uint last) {
  [[unroll]] for (uint t = 0; t < CHUNK; ++t) {
    const vec4 c = load_f32x4(pairs, 8 * CHUNK * CHUNK + 16 * t);
    const float value = load_f32(v, min(t, last) * (4 * p.qkv_stride) + 4 * min(state_row(i), p.value_dim - 1));
    float change = c.x * value - c.y * sums[i * CHUNK + t];
    [[unroll]] for (uint four = 0; four < t; four += 4) {
      const vec4 a = load_f32x4(pairs, 4 * (t * CHUNK + four));
      [[unroll]] for (uint j = four; j < min(four + 4, t); ++j) change -= a[j - four] * changes[i * CHUNK + j];
    }
    changes[i * CHUNK + t] = change;
  }
}

void store_outputs(uint64_t pairs, uint64_t y, uint i, uint rows) {
  [[unroll]] for (uint t = 0; t < CHUNK; ++t) {
    float out_t = load_f32(pairs, 8 * CHUNK * CHUNK + 16 * t + 8) * sums[i * CHUNK + t];
    [[unroll]] for (uint four = 0; four <= t; four += 4) {
      const vec4 b = load_f32x4(pairs, 4 * ((CHUNK + t) * CHUNK + four));
      [[unroll]] for (uint j = four; j < min(four + 4, t + 1); ++j) out_t += b[j - four] * changes[i * CHUNK + j];
    }
    if (t < rows && lane_of_row() == t % LANES && state_row(i) < p.value_dim)
      store_f32(y, t * (4 * p.y_stride) + 4 * state_row(i), out_t);
  }
}

void advance(uint64_t pairs, uint64_t k, uint last) {
  const float decay = load_f32(pairs, 8 * CHUNK * CHUNK + 16 * CHUNK);
  [[unroll]] for (uint t = 0; t < CHUNK; ++t) {
    const float weight = load_f32(pairs, 8 * CHUNK * CHUNK + 16 * t + 12);
    [[unroll]] for (uint i = 0; i < ROWS; ++i) changes[i * CHUNK + t] *= weight;
  }
  [[unroll]] for (uint part = 0; part < PARTS; ++part) {
    [[unroll]] for (uint i = 0; i < ROWS; ++i) matrix[i * PARTS + part] *= decay;
    [[unroll]] for (uint t = 0; t < CHUNK; ++t) {
      const vec4 v = load_key(k, min(t, last) * (4 * p.qkv_stride), part);
      [[unroll]] for (uint i = 0; i < ROWS; ++i) matrix[i * PARTS + part] += changes[i * CHUNK + t] * v;
    }
  }
}

void load_state(Run run, uint head) {
  const uint64_t base = state_in(p.state, run) + uint64_t(head) * (p.value_dim * KEY4 * 16);
  [[unroll]] for (uint i = 0; i < ROWS; ++i)
    [[unroll]] for (uint part = 0; part < PARTS; ++part)
      matrix[i * PARTS + part] =
          state_reads(run) && state_row(i) < p.value_dim ? load_key(base, state_row(i) * KEY4 * 16, part) : vec4(0);
}

void store_state(Run run, uint head) {
  const uint64_t base = state_out(p.state, run) + uint64_t(head) * (p.value_dim * KEY4 * 16);
  [[unroll]] for (uint i = 0; i < ROWS; ++i)
    [[unroll]] for (uint part = 0; part < PARTS; ++part)
      if (state_row(i) < p.value_dim && key4_of(part) < KEY4)
        store_f32x4(base, 16 * (state_row(i) * KEY4 + key4_of(part)), matrix[i * PARTS + part]);
}

void main() {
  const uint head = gl_WorkGroupID.y, heads = gl_NumWorkGroups.y, r = gl_WorkGroupID.z;
  if (r >= step_runs(p.step)) return;
  const RunChunk run = whole_run(p.step, r);
  if (run.rows == 0) return;
  const uint first = chunks_before(p.step, r, CHUNK);
  load_state(run.run, head);
  const uint key_head = delta_key_head(head, heads, p.key_heads, p.tiled);
  for (uint c = 0; c < chunks_of(run, CHUNK); ++c) {
    const uint rows = min(CHUNK, run.rows - c * CHUNK), last = rows - 1, t = run.first + c * CHUNK;
    const uint64_t pairs = p.pairs + (uint64_t(min(first + c, p.chunks - 1)) * heads + head) *
                                         (8 * CHUNK * CHUNK + 16 * CHUNK + 16);
    const uint64_t row = p.qkv + uint64_t(t) * (4 * p.qkv_stride);
    const uint64_t q = row + uint64_t(key_head * KEY4 * 16), k = q + uint64_t(p.key_heads * KEY4 * 16);
    const uint64_t v = row + uint64_t(2 * p.key_heads * KEY4 * 16 + 4 * head * p.value_dim);
    const uint64_t y = p.y + uint64_t(t) * (4 * p.y_stride) + uint64_t(4 * head * p.value_dim);
    multiply(k, 4 * p.qkv_stride, last);
    [[unroll]] for (uint i = 0; i < ROWS; ++i) solve(pairs, v, i, last);
    multiply(q, 4 * p.qkv_stride, last);
    [[unroll]] for (uint i = 0; i < ROWS; ++i) store_outputs(pairs, y, i, rows);
    advance(pairs, k, last);
  }
  if (state_writes(run.run)) store_state(run.run, head);
}
