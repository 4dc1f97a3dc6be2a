// A state matrix that each token decays and changes by one outer product: what delta_net.comp and rwkv7.comp share. The
// state is [value dim][key dim] a head. LANES invocations hold a row of it in registers, PARTS times four floats each, and
// ROWS rows at a time; the GROUPS groups of a workgroup hold ROWS * GROUPS rows of one head. Grid (rows of the state,
// heads, runs). Key-sided vectors of up to CHUNK tokens are staged in shared memory, once for all rows.
//
// The includer declares `p` with a `state`, and ARRAYS (vectors staged for a token), and defines stage(at, t), called by the
// lanes of one group to stage row t as the chunk's token `at`, value_at(t, row) and advance(at, row_values), which gives the
// outputs.
#ifndef LAHAR_RECURRENCE_GLSL
#define LAHAR_RECURRENCE_GLSL
#extension GL_KHR_shader_subgroup_basic : require
#extension GL_KHR_shader_subgroup_shuffle : require
#extension GL_EXT_control_flow_attributes : require

layout(local_size_x_id = 0) in;
layout(constant_id = 3) const uint KEY4 = 16;  // a fourth of the key dim
layout(constant_id = 4) const uint LANES = 4;  // a power of two, at most a subgroup
layout(constant_id = 5) const uint PARTS = 4;  // LANES * PARTS >= KEY4
layout(constant_id = 6) const uint ROWS = 2;
layout(constant_id = 7) const uint GROUPS = 8;
layout(constant_id = 8) const uint CHUNK = 8;
layout(constant_id = 9) const uint SUBGROUPS = 1;

const uint WIDTH4 = LANES * PARTS;  // of a staged vector; zeros behind KEY4

shared vec4 staged[ARRAYS * CHUNK * WIDTH4];
shared vec4 scalars[CHUNK];
shared float values[CHUNK * ROWS * GROUPS];

vec4 matrix[ROWS * PARTS];

// By subgroup, so that neighbours in it share a row.
uint flat_lane() { return gl_SubgroupID * gl_SubgroupSize + gl_SubgroupInvocationID; }
uint lane_of_row() { return flat_lane() % LANES; }
uint group() { return flat_lane() / LANES; }

uint staged_at(uint array, uint token, uint part) { return (array * CHUNK + token) * WIDTH4 + part * LANES + lane_of_row(); }
uint key4_of(uint part) { return part * LANES + lane_of_row(); }

// Four floats of a vector of KEY4 * 4 from `base` on; zeros behind it.
vec4 load_key(uint64_t base, uint part) {
  return key4_of(part) < KEY4 ? load_f32x4(base, 16 * key4_of(part)) : vec4(0);
}

// Sums over the lanes of a row, the same in all of them.
vec2 row_sum(vec2 v) {
  [[unroll]] for (uint mask = 1; mask < LANES; mask *= 2) v += subgroupShuffleXor(v, mask);
  return v;
}
float dot_sum(vec4 v) { return (v.x + v.y) + (v.z + v.w); }

// What was staged before is read behind it.
void sync() {
  if (SUBGROUPS == 1) subgroupBarrier();
  else barrier();
}
#endif
