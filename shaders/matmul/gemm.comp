// y = W x on any device, in fp32; with HALF products and the sums of 32 columns are in fp16. A workgroup of 256 computes 64 rows
// of W for TILE_N (16, 32, 64) rows of x, 4 x TILE_N / 16 an invocation. Both tiles of 32 columns pass through at most 16 KiB of
// shared memory; weights are decoded on the way in, in the order of their units, and x is fetched in that same order. Invocations
// load and store whatever their subgroup is. Tails are zero in shared memory and masked when stored. Moves the matrix once for
// TILE_N rows of x. Gated activations run in a kernel of their own.
#version 460
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
layout(local_size_x_id = 0) in;
layout(constant_id = 3) const uint FLAGS = 0;
layout(constant_id = 4) const uint TILE_N = 64;
#include "load.glsl"
#include "params_matmul.h"
layout(push_constant, scalar) uniform Push { MatmulPush p; };
#include "matmul/input.glsl"
#include "matmul/output.glsl"

#ifdef HALF
#extension GL_EXT_shader_explicit_arithmetic_types_float16 : require
#define REAL float16_t
#define REAL4 f16vec4
const float kLargest = 65504;
#else
#define REAL float
#define REAL4 vec4
#endif

const uint kTile = 64, kDepth = 32, kUnits = kDepth / kUnit;
shared REAL4 w_tile[kDepth * kTile / 4];  // [column][row]
shared REAL x_tile[kDepth * TILE_N];  // [column][row of x]
const uint kColumns = TILE_N / 16;  // rows of x an invocation

vec4 in_range(vec4 v) {
#ifdef HALF
  return clamp(v, vec4(-kLargest), vec4(kLargest));
#else
  return v;
#endif
}

void main() {
  uint first_t, used;
  if (!find_rows(TILE_N, first_t, used)) return;
  const uint first_row = (gl_WorkGroupID.z * gl_NumWorkGroups.y + gl_WorkGroupID.y) * kTile;
  if (first_row >= p.rows) return;
  const uint lane = gl_LocalInvocationIndex;

  // Loading: each invocation brings groups `part` and `part + 4` (of 8 groups of four columns) of one row of each tile.
  const uint load_row = lane / 4, part = lane % 4;
  const Weights w = weights_at(the_weights(), first_row);
  const uint w_row = min(load_row, p.rows - first_row - 1);
  const bool x_loads = load_row < TILE_N, x_used = x_loads && first_t + load_row < used;
  const uint64_t x_row = p.x + uint64_t(source_row(min(first_t + load_row, used - 1))) * uint64_t(4 * p.x_stride);
  const uint units = (p.cols + kUnit - 1) / kUnit;
  // Computing: rows 4 * tile_row.. of W for rows kColumns * tile_col.. of x.
  const uint tile_row = lane % 16, tile_col = lane / 16;
  vec4 sum[kColumns];  // [row of x], rows of W
  [[unroll]] for (uint j = 0; j < kColumns; ++j) sum[j] = vec4(0);

  for (uint unit0 = 0; unit0 < units; unit0 += kUnits) {
    [[unroll]] for (uint half_ = 0; half_ < 2; ++half_) {
      const uint slot = part + half_ * 4;  // group of four columns
      const uint unit = unit0 + slot * 4 / kUnit, i = slot % (kUnit / 4);
      const REAL4 w4 = REAL4(in_range(unit < units ? decode4(load_unit(w, w_row, unit), i) : vec4(0)));
      const uint column = column4(unit, i);
      const REAL4 x4 = REAL4(in_range(x_used && column < p.cols ? load_x4(x_row, 0, column) : vec4(0)));
      [[unroll]] for (uint k = 0; k < 4; ++k) {
        w_tile[((slot * 4 + k) * kTile + load_row) / 4][load_row % 4] = w4[k];
        if (x_loads) x_tile[(slot * 4 + k) * TILE_N + load_row] = x4[k];
      }
    }
    barrier();  // the tiles are written before they are read
#ifdef HALF
    REAL4 tile_sum[kColumns];
    [[unroll]] for (uint j = 0; j < kColumns; ++j) tile_sum[j] = REAL4(0);
#else
#define tile_sum sum
#endif
    for (uint k = 0; k < kDepth; ++k) {
      const REAL4 a = w_tile[k * (kTile / 4) + tile_row];
      [[unroll]] for (uint j = 0; j < kColumns; ++j) tile_sum[j] += a * x_tile[k * TILE_N + tile_col * kColumns + j];
    }
#ifdef HALF
    [[unroll]] for (uint j = 0; j < kColumns; ++j) sum[j] += vec4(tile_sum[j]);
#endif
    barrier();  // and read before the next ones are written
  }

  [[unroll]] for (uint j = 0; j < kColumns; ++j) {
    const uint t = first_t + tile_col * kColumns + j;
    if (t >= used) break;
    [[unroll]] for (uint i = 0; i < 4; ++i) {
      const uint row = first_row + tile_row * 4 + i;
      if (row < p.rows) store_y(t, row, finish(sum[j][i], row));
    }
  }
}
