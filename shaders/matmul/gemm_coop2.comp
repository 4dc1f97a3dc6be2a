// y = W x on matrices of VK_NV_cooperative_matrix2: the fp32 sums of TILE_M rows of W and TILE_N rows of x are one matrix of a
// workgroup. Loads decode the weights to fp16 in flight (matmul/coop2_load.glsl); x is given as fp16 rows (params_x_rows.h). Tails:
// loads give 0 past the last row of W, row of x in use and column, the store drops what lies there. finish_sum() may run twice for
// an element, so it stores nothing: y may be the residual's memory. Moves the matrix once for TILE_N rows of x.
// NO HARDWARE HAS RUN IT YET: it is on only where it gave the right result when the device was opened (gpu/prove_matrices.h),
// and taken only where `lahar tune` has checked and timed it. STAND_IN, which tests run, is the same on matrices of a subgroup,
// with operations on single elements instead of tensor loads and stores.
#version 460
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_shader_explicit_arithmetic_types_float16 : require
#extension GL_KHR_cooperative_matrix : require
#extension GL_KHR_memory_scope_semantics : require
#extension GL_NV_cooperative_matrix2 : require
#ifdef STAND_IN
#define SCOPE gl_ScopeSubgroup
#else
#define SCOPE gl_ScopeWorkgroup
#endif
layout(local_size_x_id = 0) in;
layout(constant_id = 3) const uint FLAGS = 0;
layout(constant_id = 4) const uint FORMAT = 1;
layout(constant_id = 5) const uint TILE_M = 16;
layout(constant_id = 6) const uint TILE_N = 16;
layout(constant_id = 7) const uint DEPTH = 16;        // columns at a time
layout(constant_id = 8) const uint INVOCATIONS = 32;  // of the workgroup
#include "load.glsl"
#include "params_matmul.h"
#include "params_x_rows.h"
layout(push_constant, scalar) uniform Push { MatmulPush p; };
#include "matmul/output.glsl"
#include "quant/weights.glsl"

shared float x_inverse[TILE_N];  // takes the scale of a row of x back

uint first_row, first_t, rows_left, t_left;
uint64_t x_rows;
Weights w;
#include "matmul/coop2_load.glsl"

// A sum of the tile as it is to be stored.
float finish_sum(const in uint r, const in uint c, const in float v) {
  if (r >= rows_left || c >= t_left) return 0;
  return add_residual(first_t + c, first_row + r, finish(v * x_inverse[c], first_row + r));
}

#ifdef STAND_IN
float store_sum(const in uint r, const in uint c, const in float v) {
  if (r < rows_left && c < t_left) store_f32(p.y + uint64_t(first_t + c) * uint64_t(4 * p.y_stride), (first_row + r) * 4, v);
  return v;
}
#else
layout(buffer_reference, scalar, buffer_reference_align = 16) writeonly buffer FloatsRef { float v[]; };
#endif

void main() {
  const uint used = used_rows();
  first_t = gl_WorkGroupID.x * TILE_N, first_row = (gl_WorkGroupID.z * gl_NumWorkGroups.y + gl_WorkGroupID.y) * TILE_M;
  if (first_t >= used || first_row >= p.rows) return;
  rows_left = p.rows - first_row, t_left = used - first_t;
  w = weights_at(Weights(p.w0, p.w1, p.w2, p.row_bytes0, p.row_bytes1, p.row_bytes2, p.group), first_row);
  x_rows = p.x + uint64_t(first_t) * uint64_t(p.x_stride);

  for (uint c = gl_LocalInvocationIndex; c < TILE_N; c += INVOCATIONS)
    x_inverse[c] = c < t_left ? load_f32(x_rows, c * p.x_stride + (p.cols + 31) / 32 * 64) : 0;
  barrier();  // x_inverse is written before finish_sum() reads it

  coopmat<float, SCOPE, TILE_M, TILE_N, gl_MatrixUseAccumulator> sum =
      coopmat<float, SCOPE, TILE_M, TILE_N, gl_MatrixUseAccumulator>(0.0);
  for (uint column = 0; column < p.cols; column += DEPTH) {
    MATRIX_A a = MATRIX_A(0.0);
    MATRIX_B b = MATRIX_B(0.0);
    load_w(a, column);
    load_x(b, column);
    sum = coopMatMulAdd(a, b, sum);
  }

  coopMatPerElementNV(sum, sum, finish_sum);
#ifdef STAND_IN
  coopMatPerElementNV(sum, sum, store_sum);
#else
  LAYOUT l = setTensorLayoutDimensionNV(new_layout(), t_left, rows_left);  // [row of x][row of W]
  l = setTensorLayoutStrideNV(l, p.y_stride, 1);
  coopMatStoreTensorNV(sum, FloatsRef(p.y + uint64_t(first_t) * uint64_t(4 * p.y_stride) + uint64_t(4 * first_row)).v, 0,
                       sliceTensorLayoutNV(l, 0, TILE_N, 0, TILE_M), createTensorViewNV(2, false, 1, 0));
#endif
}
