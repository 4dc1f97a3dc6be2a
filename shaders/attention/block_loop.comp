// y += residual_scale * (Out attention(RoPE(QKV x))) for one row: a whole attention block in one dispatch, on drivers that run a subgroup
// as the elements of CPU vectors and keep uniform values in loops (lavapipe since Mesa 26), where a dispatch costs as much as a
// megabyte of weights. A workgroup does one KV head with its query heads: their rows of the projection, norm, RoPE, the write to the
// cache, attention (attention/page_loop.glsl), and what its heads add to all rows of y (matmul/loop_parts.glsl).
#version 460
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
#extension GL_KHR_shader_subgroup_basic : require
#extension GL_KHR_shader_subgroup_ballot : require
#extension GL_KHR_shader_subgroup_shuffle : require
layout(local_size_x_id = 0) in;
layout(constant_id = 3) const uint LANES = 8;  // a multiple of 4 that divides kPageTokens
layout(constant_id = 4) const uint NR = 4;     // rows of a matrix at a time: at most LANES, divides HEAD_DIM
layout(constant_id = 5) const uint COLS = 64;  // of the projection to q, k and v
layout(constant_id = 6) const uint FLAGS = 0;  // kMatmulNormX, kMatmulNormY, kMatmulBias: of q, k and v
layout(constant_id = 7) const uint HEAD_DIM = 64;
layout(constant_id = 8) const uint HEADS_A_KV = 1;  // query heads of a KV head
layout(constant_id = 9) const uint KV_TYPE = 0;
layout(constant_id = 10) const uint SCORES = 0;
layout(constant_id = 11) const uint CHUNK = 0;  // keys visible are those of the row's chunk; 0: all
layout(constant_id = 12) const uint ROPE_DIMS = 0;
layout(constant_id = 13) const uint PAIRING = 0;
layout(constant_id = 14) const uint QK_NORM = 0;
layout(constant_id = 15) const uint NORM_WEIGHT = 0;
const uint VALUE_DIM = HEAD_DIM, ITEMS = HEADS_A_KV;
#include "load.glsl"
#include "params_attention.h"
#include "params_matmul.h"

layout(push_constant, scalar) uniform Push { AttentionBlockPush p; };
layout(buffer_reference, scalar, buffer_reference_align = 8) readonly buffer BlockRef { AttentionBlock v; };

#define lane gl_SubgroupInvocationID
#include "attention/page_loop.glsl"
#include "matmul/loop_parts.glsl"

const uint kShare = HEADS_A_KV * HEAD_DIM;  // columns of Out, rows of q

// Rows of the projection for this KV head: its q, k and v, NR at a time.
void project(AttentionBlock b, uint kv_head, uint kv_heads, float factor) {
  if (kv_heads == 0) return;
  uint done = 0;
  [[dont_unroll]] do {
    const uint kv_row = done < kShare + HEAD_DIM ? done - kShare : done - kShare - HEAD_DIM + kv_heads * HEAD_DIM;
    const uint first = done < kShare ? kv_head * kShare + done : kv_heads * kShare + kv_head * HEAD_DIM + kv_row;
    uint at[NR];
    [[unroll]] for (uint r = 0; r < NR; ++r) at[r] = first + r;
    float v = products(b.qkv_planes, COLS, 0, at, 0, p.blocks, kTail) * factor;
    if ((FLAGS & kMatmulBias) != 0) v += load_f32(b.bias, 4 * (first + min(lane, NR - 1)));
    if (lane < NR) store_f32(b.qkv, 4 * (first + lane), v);
  } while ((done += NR) < kShare + 2 * HEAD_DIM);
}

void store_heads(uint64_t out_row, uint kv_head, uint64_t sinks) {
  [[unroll]] for (uint g = 0; g < ITEMS; ++g) {
    const float all = lane_sum(total[g]);
    const uint head = kv_head * HEADS_A_KV + g;
    const float factor = all > 0 ? 1.0 / with_sink(all, best[g], sinks, head) : 0;
    [[unroll]] for (uint i = 0; i < kValueVectors; ++i) {
      const uint dim = i * LANES + lane;
      if (dim < HEAD_DIM) store_f32(out_row, 4 * (head * HEAD_DIM + dim), all > 0 ? acc[g * kValueVectors + i] * factor : 0);
    }
  }
}

void main() {
  const AttentionBlock b = BlockRef(p.block).v;
  const uint kv_head = gl_WorkGroupID.x, kv_heads = gl_NumWorkGroups.x, first_head = kv_head * HEADS_A_KV;
  const bool used = step_rows(p.step) > 0;
  const Row row = step_row(p.step, 0);
  const bool valid = used && row.valid != 0;

  x[0] = b.x;
  project(b, kv_head, kv_heads, kNormX ? fold_factor(b.x_fold, 0) : 1);
  lanes_agree();  // q, k and v before their loads

  const KeyRange range = key_range(min(row.kv_index, kv_last_index(p.kv)), p.window, CHUNK, true, valid);
  const KvPart keys = kv_part(p.kv, kv_head, false), values = kv_part(p.kv, kv_head, true);
  make_turns(b.frequencies, row.position, p.magnitude);
  load_queries(b.qkv, first_head, first_head + HEADS_A_KV, b.q_norm);
  add_own(b.qkv, row, kv_head, kv_heads, b.k_norm, keys, values, valid, valid && row.kv_index <= kv_last_index(p.kv));
  add_pages(row.slot, range, 0, range.pages, keys, values);
  store_heads(b.attended, kv_head, b.sinks);
  lanes_agree();  // the heads' results before they are loaded as columns

  x[0] = b.attended + uint64_t(4 * kv_head * kShare);
  make_part(b.parts, b.out_planes, b.rows, kv_heads * kShare, kv_head * kShare, 0, p.out_blocks, kShare % kBlock);
  if (is_last(b.counter) && used) add_parts(b.parts, b.y, b.rows, p.residual_scale, b.y_fold);
}
