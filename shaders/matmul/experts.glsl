// Products of rows that are grouped by expert (kMatmulExperts): a tile is a run of the sorted pairs that share an expert. What it
// changes for the kernels: which rows of x and y there are, and where the planes lie. Expects FLAGS and `p`, of which w0 is then
// the table of slabs, w1 the offsets of planes 0 and 1 (the low and the high word) and w2 that of plane 2 in a slab, bias the
// tiles (params_moe.h), residual the sorted pairs, residual_stride how many of them share a row of x, x_rows their number, and
// bucket that of the experts.
#ifndef LAHAR_MATMUL_EXPERTS_GLSL
#define LAHAR_MATMUL_EXPERTS_GLSL
#include "rows.glsl"
const bool kExperts = (FLAGS & kMatmulExperts) != 0;

uint64_t expert_slab = 0;

// Rows of y that are in use where rows are not grouped.
uint used_rows() { return min((FLAGS & kMatmulGather) != 0 ? step_logits(p.step) : step_rows(p.step), p.bucket); }

// The rows [first, end) of x for tile gl_WorkGroupID.x of `size` rows; false where there is none.
bool find_rows(uint size, out uint first, out uint end) {
  first = gl_WorkGroupID.x * size;
  if (!kExperts) {
    end = used_rows();
    return first < end;
  }
  if (gl_WorkGroupID.x >= load_u32(p.bias, 0)) return false;
  const uvec4 tile = load_u32x4(p.bias, 16 + 16 * gl_WorkGroupID.x);
  expert_slab = load_address(p.w0, 8 * min(tile.x, p.bucket - 1));
  first = min(tile.y, p.x_rows - 1), end = min(tile.z, p.x_rows);
  return first < end;
}

uint pair_at(uint t) { return min(load_u32(p.residual, 4 * min(t, p.x_rows - 1)), p.x_rows - 1); }

// The row of x that row t is; of converted rows, where the gathered ones lie one behind the other.
uint source_row(uint t) {
  if (kExperts) return pair_at(t) / p.residual_stride;
  return min((FLAGS & kMatmulGather) != 0 ? step_logit_row(p.step, t) : t, p.x_rows - 1);
}
uint converted_row(uint t) { return kExperts ? source_row(t) : t; }
// The row of y that row t is.
uint target_row(uint t) { return kExperts ? pair_at(t) : t; }

// Of row 0 of plane i.
uint64_t plane_address(uint i) {
  if (!kExperts) return i == 0 ? p.w0 : i == 1 ? p.w1 : p.w2;
  return expert_slab + (i == 0 ? p.w1 & 0xffffffffu : i == 1 ? p.w1 >> 32 : p.w2);
}
#endif
