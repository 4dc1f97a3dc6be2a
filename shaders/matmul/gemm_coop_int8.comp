// y = W x on cooperative matrices, int8 operands: a workgroup computes TILE_M rows of W for TILE_N rows of x, PART_M x PART_N a
// subgroup, of which it has exactly as many as there are parts. x comes as int8 rows (params_x_rows.h; p.x_stride in bytes);
// FORMAT is one with a scale for each 32 columns. Blocks of 32 are summed up in int32, then multiplied with the scales of their rows
// and added to fp32 sums: scales become matrices by loads with a stride of 0. Loads of the next tile are under way while one is multiplied.
// Tails are zero in shared memory and masked when stored. Moves the matrix once for TILE_N rows of x.
#version 460
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
#extension GL_EXT_shader_explicit_arithmetic_types_int8 : require
#extension GL_KHR_cooperative_matrix : require
#extension GL_KHR_memory_scope_semantics : require
#extension GL_KHR_shader_subgroup_basic : require
#define SUM float
layout(local_size_x_id = 0) in;
layout(constant_id = 3) const uint FLAGS = 0;
layout(constant_id = 4) const uint TM = 16;
layout(constant_id = 5) const uint TN = 16;
layout(constant_id = 6) const uint TK = 16;
layout(constant_id = 7) const uint TILE_M = 64;
layout(constant_id = 8) const uint TILE_N = 64;
layout(constant_id = 9) const uint PART_M = 32;
layout(constant_id = 10) const uint PART_N = 32;
layout(constant_id = 11) const uint DEPTH = 32;         // columns of a tile
layout(constant_id = 12) const uint INVOCATIONS = 128;  // of the workgroup
#include "int8_rows.glsl"
#include "params_matmul.h"
layout(push_constant, scalar) uniform Push { MatmulPush p; };
#include "matmul/input.glsl"
#include "matmul/output.glsl"
#include "quant/dot.glsl"

const uint kAcross = TILE_M / PART_M, kSubgroups = kAcross * (TILE_N / PART_N);
const uint kFragmentsM = PART_M / TM, kFragmentsN = PART_N / TN;
const uint kSlots = DEPTH / 16, kBlocks = DEPTH / 32;  // a slot is a run of 16 columns
const uint kSteps = 32 / TK;
const uint kPitch = 2 * kSlots + 2;  // in eight bytes; the two extra ones spread rows over the banks
const uint kWeightsEach = (TILE_M * kSlots + INVOCATIONS - 1) / INVOCATIONS;
const uint kRowsEach = (TILE_N * kSlots + INVOCATIONS - 1) / INVOCATIONS;
shared uvec2 w_tile[TILE_M * kPitch];  // [row][column]
shared uvec2 x_tile[TILE_N * kPitch];  // [row of x][column]
shared float w_scale[kBlocks * TILE_M], x_scale[kBlocks * TILE_N];

uint used, first_t, first_row, units;
Weights w;
Unit ahead_w[kWeightsEach];
uvec4 ahead_x[kRowsEach];
float ahead_scale[kRowsEach];

void store_sum(uint at_row, uint at, float v) {
  const uint row = first_row + at_row;
  if (first_t + at < used && row < p.rows) store_y(first_t + at, row, finish(v, row));
}
#include "matmul/coop_store.glsl"

// Unsigned quants become signed ones: the minimum of such a format is a multiple of its scale.
uvec4 signed_words(Unit u, uint run) {
  const uvec4 words = run_words(u, run);
  return FORMAT == 4 ? (words + 0x78787878u) ^ 0x80808080u : words;
}

// Brings the tile that begins with unit0 into registers.
void load_tiles(uint unit0) {
  [[unroll]] for (uint n = 0; n < kWeightsEach; ++n) {
    const uint item = min(gl_LocalInvocationIndex + n * INVOCATIONS, TILE_M * kSlots - 1);
    ahead_w[n] = load_unit(w, min(item / kSlots, p.rows - first_row - 1), min(unit0 + item % kSlots / kRuns, units - 1));
  }
  [[unroll]] for (uint n = 0; n < kRowsEach; ++n) {
    const uint item = min(gl_LocalInvocationIndex + n * INVOCATIONS, TILE_N * kSlots - 1);
    const uint t = min(first_t + item / kSlots, used - 1), slot = item % kSlots;
    const uint unit = min(unit0 + slot / kRuns, units - 1), column = column4(unit, 4 * (slot % kRuns));
    const uint64_t row = p.x + uint64_t(converted_row(t)) * uint64_t(p.x_stride);
    ahead_x[n] = int8_words(row, 0, column);
    ahead_scale[n] = int8_scale_sum(row, 0, p.cols, column).x;
  }
}

// Past the last column the weights are zero, and their scales.
void store_tiles(uint unit0) {
  [[unroll]] for (uint n = 0; n < kWeightsEach; ++n) {
    const uint item = gl_LocalInvocationIndex + n * INVOCATIONS, row = item / kSlots, slot = item % kSlots;
    if (item >= TILE_M * kSlots) break;
    const uvec4 words = signed_words(ahead_w[n], slot % kRuns);
    const bool there = unit0 + slot / kRuns < units;
    w_tile[row * kPitch + 2 * slot] = there ? words.xy : uvec2(0);
    w_tile[row * kPitch + 2 * slot + 1] = there ? words.zw : uvec2(0);
    if (slot % 2 == 0) w_scale[slot / 2 * TILE_M + row] = there ? run_scale(ahead_w[n], slot % kRuns).x : 0;
  }
  [[unroll]] for (uint n = 0; n < kRowsEach; ++n) {
    const uint item = gl_LocalInvocationIndex + n * INVOCATIONS, t = item / kSlots, slot = item % kSlots;
    if (item >= TILE_N * kSlots) break;
    x_tile[t * kPitch + 2 * slot] = ahead_x[n].xy;
    x_tile[t * kPitch + 2 * slot + 1] = ahead_x[n].zw;
    if (slot % 2 == 0) x_scale[slot / 2 * TILE_N + t] = ahead_scale[n];
  }
}

void main() {
  if (!find_rows(TILE_N, first_t, used)) return;
  first_row = (gl_WorkGroupID.z * gl_NumWorkGroups.y + gl_WorkGroupID.y) * TILE_M;
  if (first_row >= p.rows) return;
  w = weights_at(the_weights(), first_row);
  units = (p.cols + kUnit - 1) / kUnit;

  coopmat<float, gl_ScopeSubgroup, TM, TN, gl_MatrixUseAccumulator> sum[kFragmentsM * kFragmentsN];
  [[unroll]] for (uint i = 0; i < kFragmentsM * kFragmentsN; ++i)
    sum[i] = coopmat<float, gl_ScopeSubgroup, TM, TN, gl_MatrixUseAccumulator>(0.0);
  const uint part_m = gl_SubgroupID % kAcross * PART_M, part_n = gl_SubgroupID / kAcross * PART_N;

  load_tiles(0);
  for (uint unit0 = 0; unit0 < units; unit0 += DEPTH / kUnit) {
    store_tiles(unit0);
    barrier();  // the tiles are written before they are read
    if (unit0 + DEPTH / kUnit < units) load_tiles(unit0 + DEPTH / kUnit);
    [[unroll]] for (uint block = 0; block < kBlocks; ++block) {
      coopmat<int8_t, gl_ScopeSubgroup, TK, TN, gl_MatrixUseB> b[kFragmentsN * kSteps];
      coopmat<float, gl_ScopeSubgroup, TM, TN, gl_MatrixUseAccumulator> by_x[kFragmentsN];
      [[unroll]] for (uint n = 0; n < kFragmentsN; ++n) {
        const uint at = part_n + n * TN;
        [[unroll]] for (uint k = 0; k < kSteps; ++k)
          coopMatLoad(b[n * kSteps + k], x_tile, at * kPitch + 4 * block + k * TK / 8, kPitch,
                      gl_CooperativeMatrixLayoutColumnMajor);
        coopMatLoad(by_x[n], x_scale, block * TILE_N + at, 0, gl_CooperativeMatrixLayoutRowMajor);
      }
      [[unroll]] for (uint m = 0; m < kFragmentsM; ++m) {
        const uint at = part_m + m * TM;
        coopmat<int8_t, gl_ScopeSubgroup, TM, TK, gl_MatrixUseA> a[kSteps];
        coopmat<float, gl_ScopeSubgroup, TM, TN, gl_MatrixUseAccumulator> by_w;
        [[unroll]] for (uint k = 0; k < kSteps; ++k)
          coopMatLoad(a[k], w_tile, at * kPitch + 4 * block + k * TK / 8, kPitch, gl_CooperativeMatrixLayoutRowMajor);
        coopMatLoad(by_w, w_scale, block * TILE_M + at, 0, gl_CooperativeMatrixLayoutColumnMajor);
        [[unroll]] for (uint n = 0; n < kFragmentsN; ++n) {
          coopmat<int, gl_ScopeSubgroup, TM, TN, gl_MatrixUseAccumulator> dots =
              coopmat<int, gl_ScopeSubgroup, TM, TN, gl_MatrixUseAccumulator>(0);
          [[unroll]] for (uint k = 0; k < kSteps; ++k) dots = coopMatMulAdd(a[k], b[n * kSteps + k], dots);
          sum[m * kFragmentsN + n] +=
              coopmat<float, gl_ScopeSubgroup, TM, TN, gl_MatrixUseAccumulator>(dots) * by_w * by_x[n];
        }
      }
    }
    barrier();  // and read before the next ones are written
  }

  [[unroll]] for (uint f = 0; f < kFragmentsM * kFragmentsN; ++f)
    store_fragment(sum[f], part_m + f / kFragmentsN * TM, part_n + f % kFragmentsN * TN);
}
