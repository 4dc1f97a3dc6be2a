// Pairs (row of the step, choice) sorted by expert, one expert a workgroup, in two passes. PASS 0 counts the expert's pairs;
// PASS 1 writes them, in the order of their numbers, behind those of the experts before it, and the tiles that they make.
// Every workgroup reads all ids.
#version 460
#extension GL_GOOGLE_include_directive : require
#extension GL_KHR_shader_subgroup_basic : require
#extension GL_KHR_shader_subgroup_ballot : require
layout(local_size_x_id = 0) in;
layout(constant_id = 3) const uint PASS = 0;
#include "load.glsl"
#include "params_moe.h"
#include "reduce.glsl"
#include "rows.glsl"
layout(push_constant, scalar) uniform Push { MoeSortPush p; };

shared uint before_subgroup[256];  // pairs that the subgroups have found

uint used_pairs() { return min(step_rows(p.step), p.bucket) * p.chosen; }
bool is_mine(uint pair, uint n) { return pair < n && min(load_u32(p.ids, 4 * min(pair, n - 1)), p.experts - 1) == gl_WorkGroupID.x; }

void count_pairs() {
  const uint n = used_pairs();
  uint found = 0;
  for (uint pair = gl_LocalInvocationIndex; pair < n; pair += gl_WorkGroupSize.x) found += is_mine(pair, n) ? 1 : 0;
  const float all = workgroup_sum(float(found));  // exact: far below 2^24
  if (gl_LocalInvocationIndex > 0) return;
  store_u32(p.counts, 4 * gl_WorkGroupID.x, uint(all));
  if (gl_WorkGroupID.x == 0) store_u32(p.pairs, 0, n);
}

// Writes the expert's pairs from sorted[first] on.
void place_pairs(uint first) {
  const uint n = used_pairs();
  for (uint base = 0; base < n; base += gl_WorkGroupSize.x) {
    const uint pair = base + gl_LocalInvocationIndex;
    const bool mine = is_mine(pair, n);
    const uvec4 ballot = subgroupBallot(mine);
    if (subgroupElect()) before_subgroup[gl_SubgroupID] = subgroupBallotBitCount(ballot);
    barrier();  // the subgroups' counts are written before they are read
    uint at = first + subgroupBallotExclusiveBitCount(ballot);
    for (uint s = 0; s < gl_NumSubgroups; ++s) {
      if (s < gl_SubgroupID) at += before_subgroup[s];
      first += before_subgroup[s];
    }
    if (mine) store_u32(p.sorted, 4 * min(at, p.bucket * p.chosen - 1), pair);
    barrier();  // and read before the next ones are written
  }
}

void place_tiles(uint64_t tiles, uint size, uint groups, uint at, uint first, uint count) {
  const uint n = (count + size - 1) / size;
  for (uint i = gl_LocalInvocationIndex; i < n; i += gl_WorkGroupSize.x)
    store_u32x4(tiles, kMoeTilesHeader + 16 * (at + i),
                uvec4(gl_WorkGroupID.x, first + i * size, first + min((i + 1) * size, count), 0));
  if (gl_WorkGroupID.x + 1 == p.experts && gl_LocalInvocationIndex == 0) store_u32x4(tiles, 0, uvec4(at + n, groups, 1, 0));
}

void main() {
  if (PASS == 0) {
    count_pairs();
    return;
  }
  float pairs = 0, tiles0 = 0, tiles1 = 0;  // of the experts before this one
  for (uint e = gl_LocalInvocationIndex; e < gl_WorkGroupID.x; e += gl_WorkGroupSize.x) {
    const uint n = load_u32(p.counts, 4 * e);
    pairs += float(n), tiles0 += float((n + p.tile0 - 1) / p.tile0), tiles1 += float((n + p.tile1 - 1) / p.tile1);
  }
  const uint first = uint(workgroup_sum(pairs)), count = load_u32(p.counts, 4 * gl_WorkGroupID.x);
  place_tiles(p.tiles0, p.tile0, p.groups0, uint(workgroup_sum(tiles0)), first, count);
  place_tiles(p.tiles1, p.tile1, p.groups1, uint(workgroup_sum(tiles1)), first, count);
  place_pairs(first);
}
