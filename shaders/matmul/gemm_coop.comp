// y = W x on cooperative matrices, fp16 operands and fp32 sums: a workgroup computes 64 rows of W for 64 rows of x, PART x PART
// a subgroup. Weights are decoded to fp16 once a tile, in the order of their units; x follows that order. Each row of x is scaled by
// a power of two that brings its largest magnitude below 256 (residual streams overflow fp16), which the end takes back.
// Tails are zero in shared memory and masked when stored. The workgroup is exactly (64 / PART)^2 subgroups.
#version 460
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
#extension GL_EXT_shader_explicit_arithmetic_types_float16 : require
#extension GL_KHR_cooperative_matrix : require
#extension GL_KHR_memory_scope_semantics : require
#extension GL_KHR_shader_subgroup_basic : require
#extension GL_KHR_shader_subgroup_arithmetic : require
layout(local_size_x_id = 0) in;
layout(constant_id = 3) const uint FLAGS = 0;
layout(constant_id = 4) const uint TM = 16;
layout(constant_id = 5) const uint TN = 16;
layout(constant_id = 6) const uint TK = 16;
layout(constant_id = 7) const uint PART = 32;
#include "load.glsl"
#include "params_matmul.h"
layout(push_constant, scalar) uniform Push { MatmulPush p; };
#include "matmul/input.glsl"
#include "matmul/output.glsl"

const uint kTile = 64, kAcross = kTile / PART, kSubgroups = kAcross * kAcross;
const uint kDepth = kUnit == 32 ? 64 : 32, kUnits = kDepth / kUnit, kGroups = kDepth / 4;
const uint kPitch = kGroups + 2;  // in four halves; the two extra ones spread rows over the banks
shared f16vec4 w_tile[kTile * kPitch];  // [row][column]
shared f16vec4 x_tile[kTile * kPitch];  // [row of x][column]
shared float result[kSubgroups * TM * TN];
shared float x_scale[kTile];

const uint kFragmentsM = PART / TM, kFragmentsN = PART / TN;

uint64_t x_row(uint t) { return p.x + uint64_t(source_row(t)) * uint64_t(4 * p.x_stride); }

void main() {
  const uint used = used_rows();
  const uint first_t = gl_WorkGroupID.x * kTile;
  if (first_t >= used) return;
  const uint first_row = (gl_WorkGroupID.z * gl_NumWorkGroups.y + gl_WorkGroupID.y) * kTile;
  if (first_row >= p.rows) return;
  const uint invocation = gl_LocalInvocationIndex, invocations = gl_WorkGroupSize.x;

  for (uint t = gl_SubgroupID; t < kTile; t += kSubgroups) {
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
    if (subgroupElect()) x_scale[t] = largest > 0 ? uintBitsToFloat(uint(127 + 7 - exponent) << 23) : 1.0;
  }
  barrier();  // x_scale is written before it is read

  coopmat<float, gl_ScopeSubgroup, TM, TN, gl_MatrixUseAccumulator> sum[kFragmentsM * kFragmentsN];
  [[unroll]] for (uint i = 0; i < kFragmentsM * kFragmentsN; ++i)
    sum[i] = coopmat<float, gl_ScopeSubgroup, TM, TN, gl_MatrixUseAccumulator>(0.0);
  const uint part_m = gl_SubgroupID % kAcross * PART, part_n = gl_SubgroupID / kAcross * PART;

  const Weights w = weights_at(the_weights(), first_row);
  const uint units = (p.cols + kUnit - 1) / kUnit, last_row = p.rows - first_row - 1;
  for (uint unit0 = 0; unit0 < units; unit0 += kUnits) {
    for (uint item = invocation; item < kTile * kUnits; item += invocations) {
      const uint row = item / kUnits, u = item % kUnits;
      const bool there = unit0 + u < units;
      const Unit unit = load_unit(w, min(row, last_row), there ? unit0 + u : 0);
      [[unroll]] for (uint i = 0; i < kUnit / 4; ++i)
        w_tile[row * kPitch + u * (kUnit / 4) + i] =
            f16vec4(there ? clamp(decode4(unit, i), vec4(-65504), vec4(65504)) : vec4(0));
    }
    for (uint item = invocation; item < kTile * kGroups; item += invocations) {
      const uint t = item / kGroups, group = item % kGroups;
      const uint column = column4(unit0 + group / (kUnit / 4), group % (kUnit / 4));
      vec4 v = vec4(0);
      if (first_t + t < used && column < p.cols) v = x_scale[t] * load_x4(x_row(first_t + t), 0, column);
      x_tile[t * kPitch + group] = f16vec4(v);
    }
    barrier();  // the tiles are written before they are read
    [[unroll]] for (uint k = 0; k < kDepth; k += TK) {
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

  [[unroll]] for (uint f = 0; f < kFragmentsM * kFragmentsN; ++f) {
    // [row of x][row of W], so that neighbouring lanes store neighbours.
    coopMatStore(sum[f], result, gl_SubgroupID * TM * TN, TM, gl_CooperativeMatrixLayoutColumnMajor);
    barrier();  // the fragment is written before its elements are read
    for (uint i = gl_SubgroupInvocationID; i < TM * TN; i += gl_SubgroupSize) {
      const uint at = part_n + f % kFragmentsN * TN + i / TM, row = first_row + part_m + f / kFragmentsN * TM + i % TM;
      if (first_t + at < used && row < p.rows)
        store_y(first_t + at, row, finish(result[gl_SubgroupID * TM * TN + i] / x_scale[at], row));
    }
    barrier();  // and read before the next fragment overwrites them
  }
}
