// Push constants of the kernels that read weights.
#ifndef LAHAR_PARAMS_MATMUL_H
#define LAHAR_PARAMS_MATMUL_H
#include "shared.h"
LAHAR_SHARED_BEGIN

// An RMS norm that is computed along with the products around it. The one before writes its rows times the norm's weight
// beside its rows, and the sums of their squares in parts, one a workgroup; the one after multiplies its results by the
// norm's factor.
const uint kSquareParts = 1024;
struct NormFold {
  address_t weight;    // fp32 [width]
  address_t scaled;    // fp32 rows [width]
  address_t squares;   // uint parts, three unused words, then fp32 [row][kSquareParts]
  uint scaled_stride;  // floats
  uint width;
  float eps;
  uint reserved;
};
LAHAR_SHARED_SIZE(NormFold, 40)

struct MatmulPush {
  address_t w0;  // planes of the matrix
  address_t w1;
  address_t w2;
  address_t x;
  address_t y;
  address_t bias;
  address_t residual;
  address_t step;
  uint rows;  // of y: half of the matrix's with a gated activation
  uint cols;
  uint row_bytes0;  // of each plane
  uint row_bytes1;
  uint row_bytes2;
  uint group;     // columns per scale, where the format has outside scales
  uint x_stride;  // floats
  uint y_stride;
  uint residual_stride;
  uint bucket;
  float scale;
  float softcap;
  float residual_scale;
  uint x_rows;     // that x has; gathered indices are clamped to it
  address_t fold;  // NormFold
};
LAHAR_SHARED_SIZE(MatmulPush, 128)

// Of matmul/line.comp; columns and group are constants of the pipeline there.
struct LinePush {
  address_t w0;
  address_t w1;
  address_t w2;
  address_t x;
  address_t y;
  address_t bias;
  address_t residual;
  address_t step;
  uint rows;
  uint bucket;
  uint x_rows;
  uint x_stride;
  uint y_stride;
  uint residual_stride;
  float scale;
  float softcap;
  float residual_scale;
  uint ramp[4];  // 0, 1, 2, 3
  uint reserved;
};
LAHAR_SHARED_SIZE(LinePush, 120)

// Of matmul/loop.comp; columns and group are constants of the pipeline there too.
struct LoopPush {
  address_t w0;
  address_t w1;
  address_t w2;
  address_t x;
  address_t y;
  address_t bias;
  address_t residual;
  address_t step;
  uint rows;
  uint bucket;
  uint x_rows;
  uint x_stride;
  uint y_stride;
  uint residual_stride;
  float scale;
  float softcap;
  float residual_scale;
  uint turns;   // times that a workgroup computes NR rows
  uint blocks;  // whole blocks of columns
  uint reserved;
  address_t fold;  // NormFold
};
LAHAR_SHARED_SIZE(LoopPush, 120)

// Of matmul/loop_ffn.comp.
struct LoopFfnPush {
  address_t up[3];    // planes of gate and up, stacked
  address_t down[3];  // and of the way back
  address_t x;        // fp32 [cols]: NormFold::scaled of the norm before, or a row that is normed already
  address_t y;        // fp32 [rows], added to
  address_t mid;      // fp32 [width]
  address_t parts;    // fp32 [workgroup][rows]
  address_t counter;  // uint, 0 between dispatches
  address_t x_fold;   // NormFold of the norm before and of the one after
  address_t y_fold;
  address_t step;
  uint width;   // of the block
  uint rows;    // of y
  uint blocks;  // whole blocks of the columns of gate and up
  float residual_scale;
};
LAHAR_SHARED_SIZE(LoopFfnPush, 128)

// Bits of the kernels' FLAGS constant.
const uint kMatmulBias = 1;
const uint kMatmulResidual = 2;
const uint kMatmulSoftcap = 4;
const uint kMatmulGather = 8;       // rows of x are named by StepState::logit_rows
const uint kMatmulNormX = 32;       // x is NormFold::scaled of a norm that is folded in
const uint kMatmulNormY = 64;       // the norm after y is folded in
const uint kMatmulExperts = 2048;   // rows of x are grouped by expert (matmul/experts.glsl)
const uint kMatmulTail = 16;        // cols is no multiple of what one load covers
const uint kMatmulHalfRows = 1024;  // x is given as fp16 rows (params_x_rows.h)

struct EmbedPush {
  address_t w0;
  address_t w1;
  address_t w2;
  address_t positions0;  // F32, F16 or BF16 rows
  address_t y;
  address_t step;
  uint vocabulary;
  uint cols;
  uint row_bytes0;
  uint row_bytes1;
  uint row_bytes2;
  uint group;
  uint y_stride;
  uint n_positions;
  uint position_row_bytes;
  float scale;
};
LAHAR_SHARED_SIZE(EmbedPush, 88)

LAHAR_SHARED_END
#endif
