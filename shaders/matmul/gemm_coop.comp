// y = W x on cooperative matrices, fp16 operands, sums of type SUM: a workgroup computes TILE_M rows of W for TILE_N rows of x,
// PART_M x PART_N a subgroup, of which it has exactly as many as there are parts. Weights are decoded to fp16 once a tile, in
// the order of their units; x follows that order. Each row of x is scaled by a power of two that brings its largest magnitude
// below 256 (residual streams overflow fp16), which the end takes back: here, or beforehand (kMatmulHalfRows: params_x_rows.h,
// p.x_stride in bytes). Loads of the next tile are under way while one is multiplied. Tails are zero in shared memory and
// masked when stored. ELEMENTS: results go straight from the matrices to memory. Moves the matrix once for TILE_N rows of x.
#version 460
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
#extension GL_EXT_shader_explicit_arithmetic_types_float16 : require
#extension GL_KHR_cooperative_matrix : require
#extension GL_KHR_memory_scope_semantics : require
#extension GL_KHR_shader_subgroup_basic : require
#extension GL_KHR_shader_subgroup_arithmetic : require
#ifdef ELEMENTS
#extension GL_NV_cooperative_matrix2 : require
#endif
#ifndef SUM
#define SUM float
#endif
layout(local_size_x_id = 0) in;
layout(constant_id = 3) const uint FLAGS = 0;
layout(constant_id = 4) const uint TM = 16;
layout(constant_id = 5) const uint TN = 16;
layout(constant_id = 6) const uint TK = 16;
layout(constant_id = 7) const uint TILE_M = 64;
layout(constant_id = 8) const uint TILE_N = 64;
layout(constant_id = 9) const uint PART_M = 32;
layout(constant_id = 10) const uint PART_N = 32;
layout(constant_id = 11) const uint DEPTH = 32;       // columns of a tile
layout(constant_id = 12) const uint INVOCATIONS = 128;  // of the workgroup
layout(constant_id = 13) const float RANGE = 1;         // x is multiplied with this on its way, and y with its inverse
#include "load.glsl"
#include "params_matmul.h"
#include "params_x_rows.h"
layout(push_constant, scalar) uniform Push { MatmulPush p; };
#include "matmul/input.glsl"
#include "matmul/output.glsl"

const uint kAcross = TILE_M / PART_M, kSubgroups = kAcross * (TILE_N / PART_N);
const uint kUnits = DEPTH / kUnit, kGroups = DEPTH / 4;
const uint kPitch = kGroups + 2;  // in four halves; the two extra ones spread rows over the banks
shared f16vec4 w_tile[TILE_M * kPitch];  // [row][column]
shared f16vec4 x_tile[TILE_N * kPitch];  // [row of x][column]
shared float x_inverse[TILE_N];          // takes the scale of a row of x back

const uint kFragmentsM = PART_M / TM, kFragmentsN = PART_N / TN;
const uint kUnitsEach = (TILE_M * kUnits + INVOCATIONS - 1) / INVOCATIONS;
const uint kGroupsEach = (TILE_N * kGroups + INVOCATIONS - 1) / INVOCATIONS;
const bool kHalfRows = (FLAGS & kMatmulHalfRows) != 0;

uint used, first_t, first_row, units, last_row;
Weights w;
Unit ahead_w[kUnitsEach];
f16vec4 ahead_x[kGroupsEach];

uint64_t x_row(uint t) {
  if (kHalfRows) return p.x + uint64_t(converted_row(t)) * uint64_t(p.x_stride);
  return p.x + uint64_t(source_row(t)) * uint64_t(4 * p.x_stride);
}

void find_scales() {
  for (uint t = gl_SubgroupID; t < TILE_N; t += kSubgroups) {
    float inverse = 1;
    if (kHalfRows) {
      if (first_t + t < used) inverse = load_f32(x_row(first_t + t), (p.cols + 31) / 32 * 64);
    } else {
      float largest = 0;
      if (first_t + t < used) {
        const uint64_t row = x_row(first_t + t);
        for (uint column = 4 * gl_SubgroupInvocationID; column < p.cols; column += 4 * gl_SubgroupSize) {
          const vec4 v = abs(load_x4(row, 0, column));
          largest = max(largest, max(max(v.x, v.y), max(v.z, v.w)));
        }
      }
      largest = subgroupMax(largest);
      // 2^(7 - exponent of the largest), so that it lands in [128, 256); from zeros, 1.
      const int exponent = clamp(int(floatBitsToUint(largest) >> 23) - 127, -100, 100);
      if (largest > 0) inverse = uintBitsToFloat(uint(127 - 7 + exponent) << 23);
    }
    if (subgroupElect()) x_inverse[t] = inverse;
  }
}

// Brings the tile that begins with unit0 into registers.
void load_tiles(uint unit0) {
  [[unroll]] for (uint n = 0; n < kUnitsEach; ++n) {
    const uint item = min(gl_LocalInvocationIndex + n * INVOCATIONS, TILE_M * kUnits - 1);
    ahead_w[n] = load_unit(w, min(item / kUnits, last_row), min(unit0 + item % kUnits, units - 1));
  }
  [[unroll]] for (uint n = 0; n < kGroupsEach; ++n) {
    const uint item = min(gl_LocalInvocationIndex + n * INVOCATIONS, TILE_N * kGroups - 1);
    const uint t = item / kGroups, group = item % kGroups;
    const uint column = column4(unit0 + group / (kUnit / 4), group % (kUnit / 4));
    f16vec4 v = f16vec4(0);
    if (first_t + t < used && column < p.cols) {
      if (kHalfRows) {
        const uvec2 packed = load_u32x2(x_row(first_t + t), 2 * column);
        v = f16vec4(unpackFloat2x16(packed.x), unpackFloat2x16(packed.y)) * float16_t(RANGE);
      } else {
        v = f16vec4((RANGE / x_inverse[t]) * load_x4(x_row(first_t + t), 0, column));
      }
    }
    ahead_x[n] = v;
  }
}

void store_tiles(uint unit0) {
  [[unroll]] for (uint n = 0; n < kUnitsEach; ++n) {
    const uint item = gl_LocalInvocationIndex + n * INVOCATIONS;
    const uint row = item / kUnits, u = item % kUnits;
    if (item >= TILE_M * kUnits) break;
    const bool there = unit0 + u < units;
    [[unroll]] for (uint i = 0; i < kUnit / 4; ++i)
      w_tile[row * kPitch + u * (kUnit / 4) + i] =
          f16vec4(there ? clamp(decode4(ahead_w[n], i), vec4(-65504), vec4(65504)) : vec4(0));
  }
  [[unroll]] for (uint n = 0; n < kGroupsEach; ++n) {
    const uint item = gl_LocalInvocationIndex + n * INVOCATIONS;
    if (item < TILE_N * kGroups) x_tile[item / kGroups * kPitch + item % kGroups] = ahead_x[n];
  }
}

// One sum of the tile, at a row of W and a row of x of it.
void store_sum(uint at_row, uint at, float v) {
  const uint row = first_row + at_row;
  if (first_t + at < used && row < p.rows) store_y(first_t + at, row, finish(v * (x_inverse[at] / RANGE), row));
}

#include "matmul/coop_store.glsl"

void main() {
  if (!find_rows(TILE_N, first_t, used)) return;
  first_row = (gl_WorkGroupID.z * gl_NumWorkGroups.y + gl_WorkGroupID.y) * TILE_M;
  if (first_row >= p.rows) return;
  w = weights_at(the_weights(), first_row);
  units = (p.cols + kUnit - 1) / kUnit, last_row = p.rows - first_row - 1;

  find_scales();
  barrier();  // x_inverse is written before it is read

  coopmat<SUM, gl_ScopeSubgroup, TM, TN, gl_MatrixUseAccumulator> sum[kFragmentsM * kFragmentsN];
  [[unroll]] for (uint i = 0; i < kFragmentsM * kFragmentsN; ++i)
    sum[i] = coopmat<SUM, gl_ScopeSubgroup, TM, TN, gl_MatrixUseAccumulator>(0.0);
  const uint part_m = gl_SubgroupID % kAcross * PART_M, part_n = gl_SubgroupID / kAcross * PART_N;

  load_tiles(0);
  for (uint unit0 = 0; unit0 < units; unit0 += kUnits) {
    store_tiles(unit0);
    barrier();  // the tiles are written before they are read
    if (unit0 + kUnits < units) load_tiles(unit0 + kUnits);
    [[unroll]] for (uint k = 0; k < DEPTH; k += TK) {
      coopmat<float16_t, gl_ScopeSubgroup, TK, TN, gl_MatrixUseB> b[kFragmentsN];
      [[unroll]] for (uint n = 0; n < kFragmentsN; ++n)
        coopMatLoad(b[n], x_tile, (part_n + n * TN) * kPitch + k / 4, kPitch, gl_CooperativeMatrixLayoutColumnMajor);
      [[unroll]] for (uint m = 0; m < kFragmentsM; ++m) {
        coopmat<float16_t, gl_ScopeSubgroup, TM, TK, gl_MatrixUseA> a;
        coopMatLoad(a, w_tile, (part_m + m * TM) * kPitch + k / 4, kPitch, gl_CooperativeMatrixLayoutRowMajor);
        [[unroll]] for (uint n = 0; n < kFragmentsN; ++n)
          sum[m * kFragmentsN + n] = coopMatMulAdd(a, b[n], sum[m * kFragmentsN + n]);
      }
    }
    barrier();  // and read before the next ones are written
  }

  [[unroll]] for (uint f = 0; f < kFragmentsM * kFragmentsN; ++f)
    store_fragment(sum[f], part_m + f / kFragmentsN * TM, part_n + f % kFragmentsN * TN);
}
