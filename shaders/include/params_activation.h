// Push constants of activation/.
#ifndef LAHAR_PARAMS_ACTIVATION_H
#define LAHAR_PARAMS_ACTIVATION_H
#include "shared.h"
LAHAR_SHARED_BEGIN

struct ActivationPush {
  address_t x, y;  // fp32 rows
  address_t step;
  uint width;               // of y
  uint x_stride, y_stride;  // floats
  uint reserved;
};
LAHAR_SHARED_SIZE(ActivationPush, 40)

struct GatePush {
  address_t a, gate, residual, y;  // fp32 rows
  address_t step;
  uint width;
  uint a_stride, gate_stride, residual_stride, y_stride;  // floats
  float residual_scale;
};
LAHAR_SHARED_SIZE(GatePush, 64)

LAHAR_SHARED_END
#endif
