// Attention of few rows on drivers that run a subgroup as the elements of CPU vectors and keep uniform values in loops (lavapipe
// since Mesa 26). A workgroup (one subgroup) does a share of the context for ITEMS heads of one KV head and one row; grid (parts of the
// context, KV heads x groups of heads, rows); merge.comp adds up the parts. ROPED: p.q is one row of q, k and v, which are
// normed, rotated and, K and V, written to the cache here; the row's own key never comes from memory.
#version 460
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
#extension GL_KHR_shader_subgroup_basic : require
#extension GL_KHR_shader_subgroup_ballot : require
#extension GL_KHR_shader_subgroup_shuffle : require
layout(local_size_x_id = 0) in;
layout(constant_id = 3) const uint LANES = 8;  // a multiple of 4 that divides kPageTokens
layout(constant_id = 4) const uint HEAD_DIM = 64;
layout(constant_id = 5) const uint VALUE_DIM = 64;
layout(constant_id = 6) const uint HEADS_A_KV = 1;  // query heads of a KV head
layout(constant_id = 7) const uint ITEMS = 1;  // of them, computed together
layout(constant_id = 8) const uint SPLIT = 0;
layout(constant_id = 9) const uint KV_TYPE = 0;
layout(constant_id = 10) const uint SCORES = 0;
layout(constant_id = 11) const uint CHUNK = 0;     // keys visible are those of the row's chunk; 0: all
layout(constant_id = 12) const uint Q_STRIDE = 0;  // floats
layout(constant_id = 13) const uint Y_STRIDE = 0;
layout(constant_id = 14) const uint ROPED = 0;
layout(constant_id = 15) const uint ROPE_DIMS = 0;
layout(constant_id = 16) const uint PAIRING = 0;
layout(constant_id = 17) const uint QK_NORM = 0;
layout(constant_id = 18) const uint NORM_WEIGHT = 0;
#include "load.glsl"
#include "params_attention.h"

layout(push_constant, scalar) uniform Push { AttentionLoopPush p; };

#define lane gl_SubgroupInvocationID
#include "attention/page_loop.glsl"

const uint kHeadGroups = (HEADS_A_KV + ITEMS - 1) / ITEMS;
const uint kPart = kPartialHeader + VALUE_DIM;

// Of the heads [first_head, end_head).
void store_result(uint t, uint heads, uint first_head, uint end_head) {
  [[unroll]] for (uint g = 0; g < ITEMS; ++g) {
    const uint head = first_head + g;
    const float all = lane_sum(total[g]);
    const float factor = SPLIT != 0 ? 1.0 : all > 0 ? 1.0 / with_sink(all, best[g], p.sinks, min(head, heads - 1)) : 0;
    const uint64_t part = p.scratch + uint64_t((t * heads + head) * gl_NumWorkGroups.x + gl_WorkGroupID.x) * (4 * kPart);
    const uint64_t to = SPLIT != 0 ? part + uint64_t(4 * kPartialHeader)
                                   : p.y + uint64_t(t) * uint64_t(4 * Y_STRIDE) + uint64_t(4 * head * VALUE_DIM);
    if (head >= end_head) continue;
    [[unroll]] for (uint i = 0; i < kValueVectors; ++i) {
      const uint dim = i * LANES + lane;
      if (dim < VALUE_DIM) store_f32(to, 4 * dim, all > 0 ? acc[g * kValueVectors + i] * factor : 0);
    }
    if (SPLIT != 0 && lane == 0) store_f32x4(part, 0, vec4(best[g], all, 0, 0));
  }
}

void main() {
  const uint t = gl_WorkGroupID.z, kv_head = gl_WorkGroupID.y / kHeadGroups, kv_heads = gl_NumWorkGroups.y / kHeadGroups;
  const bool used = t < step_rows(p.step);
  const uint first_head = kv_head * HEADS_A_KV + gl_WorkGroupID.y % kHeadGroups * ITEMS, end_head = (kv_head + 1) * HEADS_A_KV;
  const Row row = step_row(p.step, t);
  const bool valid = used && row.valid != 0;
  const KeyRange range = key_range(min(row.kv_index, kv_last_index(p.kv)), p.window, CHUNK, ROPED != 0, valid);
  const uint share = (range.pages + gl_NumWorkGroups.x - 1) / gl_NumWorkGroups.x, begin = gl_WorkGroupID.x * share;
  const KvPart keys = kv_part(p.kv, kv_head, false), values = kv_part(p.kv, kv_head, true);

  if (ROPED != 0) make_turns(p.frequencies, row.position, p.magnitude);
  load_queries(p.q + uint64_t(t) * uint64_t(4 * Q_STRIDE), first_head, end_head, p.q_norm);
  if (ROPED != 0) {
    const bool counts = valid && gl_WorkGroupID.x == 0;
    add_own(p.q, row, kv_head, kv_heads, p.k_norm, keys, values, counts,
            counts && gl_WorkGroupID.y % kHeadGroups == 0 && row.kv_index <= kv_last_index(p.kv));
  } else {
    clear_sums();
  }
  add_pages(row.slot, range, begin, min(share, range.pages - min(begin, range.pages)), keys, values);
  store_result(t, kv_heads * HEADS_A_KV, first_head, used ? end_head : 0);
}
