// For blocks of a layer in one dispatch, on drivers where loops run over CPU vectors (matmul/loop_core.glsl, which this includes, with
// one row of x): products of NR rows at a time, and a product whose columns are shared out among the workgroups. The last of these
// to end adds up their parts in the order of the workgroups, whichever it is, so that the result is always the same; none waits for
// another. Only for workgroups of one subgroup, on coherent memory.
const uint NT = 1;
#define GROUP 0u
#include "matmul/norm_parts.glsl"
#include "quant/decode.glsl"
#include "rows.glsl"

#include "matmul/loop_core.glsl"

layout(buffer_reference, scalar, buffer_reference_align = 4) coherent buffer CounterRef { uint v; };
layout(buffer_reference, scalar, buffer_reference_align = 4) coherent buffer PartRef { float v; };

const bool kNormX = (FLAGS & kMatmulNormX) != 0, kNormY = (FLAGS & kMatmulNormY) != 0;

// Stores of all lanes before this are there for the loads of all lanes behind it. The lanes of a vector run in step; a barrier for their
// execution would have the driver save all it knows, and forget what is constant.
void lanes_agree() { subgroupMemoryBarrierBuffer(); }

// Of rows `at` of a matrix with `cols` columns: blocks [begin, end) behind the first `skipped` columns, then `tail` columns. Row i's
// product in lane i. x[0] is set.
float products(uint64_t planes[3], uint cols, uint skipped, uint at[NR], uint begin, uint end, const uint tail) {
  const Weights all = Weights(planes[0] + uint64_t(row_bytes0(skipped)), planes[1] + uint64_t(row_bytes1(skipped)),
                              planes[2] + uint64_t(row_bytes2(skipped)), padded(row_bytes0(cols)), padded(row_bytes1(cols)),
                              padded(row_bytes2(cols)), 0);
  [[unroll]] for (uint r = 0; r < NR; ++r) row[r] = weights_at(all, at[r]), sum[r] = 0;
  if (end > begin) {
    uint b = begin;
    [[dont_unroll]] do {
      add_block(b, kBlock);
    } while (++b < end);
  }
  if (tail != 0) add_block(end, tail);
  float v[LANES];
  [[unroll]] for (uint i = 0; i < LANES; ++i) v[i] = i < NR ? sum[min(i, NR - 1)] : 0;
  return reduce(v);
}

// A product of `rows` rows into this workgroup's part.
void make_part(uint64_t parts, uint64_t planes[3], uint rows, uint cols, uint skipped, uint begin, uint end, const uint tail) {
  if (rows == 0) return;
  uint first = 0;
  [[dont_unroll]] do {
    uint at[NR];
    [[unroll]] for (uint r = 0; r < NR; ++r) at[r] = min(first + r, rows - 1);
    const float v = products(planes, cols, skipped, at, begin, end, tail);
    if (lane < NR && first + lane < rows) PartRef(parts + uint64_t(4 * (gl_WorkGroupID.x * rows + first + lane))).v = v;
  } while ((first += NR) < rows);
}

// True in the last workgroup, whose counter is 0 again.
bool is_last(uint64_t counter) {
  // This workgroup's part before its sign, the others' signs before their parts.
  memoryBarrierBuffer();
  uint ended = 0;
  if (lane == 0) ended = atomicAdd(CounterRef(counter).v, 1) + 1;
  ended = subgroupBroadcastFirst(ended);
  memoryBarrierBuffer();
  if (ended < gl_NumWorkGroups.x) return false;
  if (lane == 0) CounterRef(counter).v = 0;
  return true;
}

// y += scale * (the parts), with the norm behind it.
void add_parts(uint64_t parts, uint64_t y, uint rows, float scale, uint64_t y_fold) {
  float squares = 0;
  for (uint i = 0; i < rows; i += LANES) {
    const uint at_row = i + lane;
    if (at_row >= rows) continue;
    float v = 0;
    for (uint part = 0; part < gl_NumWorkGroups.x; ++part) v += PartRef(parts + uint64_t(4 * (part * rows + at_row))).v;
    const float sum_y = load_f32(y, 4 * at_row) + scale * v;
    store_f32(y, 4 * at_row, sum_y);
    if (kNormY) squares += fold_scaled(y_fold, 0, at_row, sum_y);
  }
  if (kNormY) {
    const float all = subgroupAdd(squares);
    if (lane == 0) fold_squares(y_fold, 0, 0, 1, all);
  }
}
