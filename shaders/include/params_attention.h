// Push constants of attention/*.comp, and the partial results of the split decode.
#ifndef LAHAR_PARAMS_ATTENTION_H
#define LAHAR_PARAMS_ATTENTION_H
#include "step.h"
LAHAR_SHARED_BEGIN

struct AttentionPush {
  address_t q;        // fp32 rows [heads * head_dim]
  address_t y;        // fp32 rows [heads * value_dim]
  address_t scratch;  // fp32 [row][head][split][kPartialHeader + value_dim]
  address_t sinks;    // fp32 [heads]
  address_t step;
  KvAddress kv;
  uint q_stride, y_stride;  // floats
  uint window;              // keys visible; 0: all
  uint chunk;               // keys visible are those of the row's chunk; 0: all
  float scale;
  float softcap;
  float alibi;  // decline of the slopes' exponent from head to head
  uint splits;  // parts of the context
};
LAHAR_SHARED_SIZE(AttentionPush, 112)

// decode_line.comp's: `ramp` is {0, 1, 2, 3}.
struct AttentionLinePush {
  AttentionPush push;
  uint ramp[4];
};
LAHAR_SHARED_SIZE(AttentionLinePush, 128)

// A partial result: the maximum score, the sum of exp(score - maximum), two unused floats, then the weighted sum of values,
// not yet divided. Sum 0: the split saw no key, the rest is undefined.
const uint kPartialHeader = 4;

LAHAR_SHARED_END
#endif
