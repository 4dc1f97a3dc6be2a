// Push constants of norm/norm.comp.
#ifndef LAHAR_PARAMS_NORM_H
#define LAHAR_PARAMS_NORM_H
#include "shared.h"
LAHAR_SHARED_BEGIN

const uint kNormWeight = 1;    // y is scaled by weight
const uint kNormBias = 2;      // bias is added
const uint kNormResidual = 4;  // the result is added to residual
const uint kNormGather = 8;    // row i of y comes from row logit_rows[i] of x

struct NormPush {
  address_t x, y, residual;  // fp32 rows
  address_t weight, bias;    // fp32 [width]
  address_t step;
  uint width;
  uint x_stride, y_stride, residual_stride;  // floats
  float eps;
  float residual_scale, residual_factor;
  uint reserved;
};
LAHAR_SHARED_SIZE(NormPush, 80)

LAHAR_SHARED_END
#endif
