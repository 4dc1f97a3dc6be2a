// Push constants of ssm/causal_conv.comp.
#ifndef LAHAR_PARAMS_CAUSAL_CONV_H
#define LAHAR_PARAMS_CAUSAL_CONV_H
#include "params_state.h"
LAHAR_SHARED_BEGIN

const uint kConvBias = 1;
const uint kConvGateX = 2;
const uint kConvGateY = 4;

struct CausalConvPush {
  address_t x, x_gate, y, y_gate;  // fp32 rows
  address_t weight, bias;          // fp32 [channels, taps], [channels]
  address_t step;
  StateAddress state;
  uint channels;
  uint x_stride, x_gate_stride, y_stride, y_gate_stride;  // floats
  uint reserved;
};
LAHAR_SHARED_SIZE(CausalConvPush, 104)

LAHAR_SHARED_END
#endif
