// Push constants of rope/rope_kv.comp.
#ifndef LAHAR_PARAMS_ROPE_H
#define LAHAR_PARAMS_ROPE_H
#include "step.h"
LAHAR_SHARED_BEGIN

// NORM_FLAGS.
const uint kQkNormLayer = 1;      // LayerNorm, else RMSNorm
const uint kQkNormBias = 2;       // biases lie behind the weights
const uint kQkNormAfterRope = 4;  // weights (and biases) come after the rotation
const uint kQkNormNoWeight = 8;
const uint kValueNorm = 16;     // RMSNorm of each head's v, without weights
const uint kClampQkv = 32;      // to [-clamp, clamp], before the norm
const uint kQueryAlone = 64;    // there is no k and v
const uint kTemperature = 128;  // q *= 1 + temperature * ln(1 + floor((position + 1) / temperature_floor))
const uint kClampNormed = 256;  // to [-clamp, clamp], after the norm

struct RopeKvPush {
  address_t qkv, q;          // fp32 rows
  address_t frequencies;     // fp32 [rope_dims / 2]
  address_t q_norm, k_norm;  // fp32 [head_dim] or [heads * head_dim], and as many biases
  address_t step;
  KvAddress kv;
  uint q_offset, k_offset, v_offset;  // floats within a row of qkv
  uint qkv_stride, q_stride;          // floats
  float eps;
  float magnitude;
  float clamp_at;
  float temperature, temperature_floor;
};
LAHAR_SHARED_SIZE(RopeKvPush, 128)

LAHAR_SHARED_END
#endif
