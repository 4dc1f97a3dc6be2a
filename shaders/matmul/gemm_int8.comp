// y = W x with integer dot products: a workgroup of 256 computes 64 rows of W for TILE_N (16, 32, 64) rows of x, 4 x TILE_N /
// 16 an invocation, 16 apart. x comes as int8 rows (params_x_rows.h; p.x_stride in bytes); runs of 16 columns of both pass through
// at most 12 KiB of shared memory, with their scales. Tails are zero in shared memory and masked when stored. Gated
// activations run in a kernel of their own. Moves the matrix once for TILE_N rows of x.
#version 460
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
layout(local_size_x_id = 0) in;
layout(constant_id = 3) const uint FLAGS = 0;
layout(constant_id = 4) const uint TILE_N = 64;
#include "int8_rows.glsl"
#include "params_matmul.h"
layout(push_constant, scalar) uniform Push { MatmulPush p; };
#include "matmul/input.glsl"
#include "matmul/output.glsl"
#include "quant/dot.glsl"

const uint kTile = 64, kSlots = 4, kColumns = TILE_N / 16, kUnits = kSlots / kRuns;
shared uvec4 w_words[kSlots * kTile];  // [slot][row], a slot is a run of 16 columns
shared vec2 w_scale[kSlots * kTile];   // scale, minimum
shared uvec4 x_words[kSlots * TILE_N];
shared vec2 x_scale[kSlots * TILE_N];  // scale, scale * sum of the quants

void main() {
  uint first_t, used;
  if (!find_rows(TILE_N, first_t, used)) return;
  const uint first_row = (gl_WorkGroupID.z * gl_NumWorkGroups.y + gl_WorkGroupID.y) * kTile;
  if (first_row >= p.rows) return;
  const uint lane = gl_LocalInvocationIndex;

  // Loading: each invocation brings one run of one row of each tile.
  const uint load_row = lane / kSlots, slot = lane % kSlots;
  const Weights w = weights_at(the_weights(), first_row);
  const uint w_row = min(load_row, p.rows - first_row - 1);
  const bool x_loads = load_row < TILE_N, x_used = x_loads && first_t + load_row < used;
  const uint64_t x_row = p.x + uint64_t(converted_row(min(first_t + load_row, used - 1))) * uint64_t(p.x_stride);
  const uint units = (p.cols + kUnit - 1) / kUnit;
  // Computing: rows tile_row + 16 i of W for rows tile_col + 16 j of x.
  const uint tile_row = lane % 16, tile_col = lane / 16;
  vec4 sum[kColumns];
  [[unroll]] for (uint j = 0; j < kColumns; ++j) sum[j] = vec4(0);

  for (uint unit0 = 0; unit0 < units; unit0 += kUnits) {
    const uint unit = unit0 + slot / kRuns, run = slot % kRuns;
    const bool there = unit < units;
    const Unit u = load_unit(w, w_row, there ? unit : 0);
    w_words[slot * kTile + load_row] = run_words(u, run);
    w_scale[slot * kTile + load_row] = there ? run_scale(u, run) : vec2(0);
    if (x_loads) {
      const uint column = there ? column4(unit, 4 * run) : 0;
      const vec2 scale = int8_scale_sum(x_row, 0, p.cols, column);
      x_words[slot * TILE_N + load_row] = int8_words(x_row, 0, column);
      x_scale[slot * TILE_N + load_row] = x_used ? vec2(scale.x, scale.x * scale.y) : vec2(0);
    }
    barrier();  // the tiles are written before they are read
    [[unroll]] for (uint s = 0; s < kSlots; ++s) {
      uvec4 a[4];
      vec2 a_scale[4];
      [[unroll]] for (uint i = 0; i < 4; ++i) {
        a[i] = w_words[s * kTile + tile_row + 16 * i];
        a_scale[i] = w_scale[s * kTile + tile_row + 16 * i];
      }
      [[unroll]] for (uint j = 0; j < kColumns; ++j) {
        const uvec4 b = x_words[s * TILE_N + tile_col + 16 * j];
        const vec2 b_scale = x_scale[s * TILE_N + tile_col + 16 * j];
        [[unroll]] for (uint i = 0; i < 4; ++i) {
          sum[j][i] += a_scale[i].x * (b_scale.x * float(dot_words(a[i], b)));
          if (kRunMinimum) sum[j][i] += a_scale[i].y * b_scale.y;
        }
      }
    }
    barrier();  // and read before the next ones are written
  }

  [[unroll]] for (uint j = 0; j < kColumns; ++j) {
    const uint t = first_t + tile_col + 16 * j;
    if (t >= used) break;
    [[unroll]] for (uint i = 0; i < 4; ++i) {
      const uint row = first_row + tile_row + 16 * i;
      if (row < p.rows) store_y(t, row, finish(sum[j][i], row));
    }
  }
}
