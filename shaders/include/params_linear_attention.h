// Push constants of linear_attention/.
#ifndef LAHAR_PARAMS_LINEAR_ATTENTION_H
#define LAHAR_PARAMS_LINEAR_ATTENTION_H
#include "params_state.h"
LAHAR_SHARED_BEGIN

const uint kMaxShiftMixes = 6;

struct TokenShiftPush {
  address_t x;  // fp32 [rows, width]
  address_t y;  // fp32 [mixes][rows, width], plane_floats apart
  address_t step;
  StateAddress state;               // [width]: the last row of x
  address_t mixes[kMaxShiftMixes];  // fp32 [width] each
  uint width;
  uint x_stride, y_stride;  // floats
  uint plane_floats;
};
LAHAR_SHARED_SIZE(TokenShiftPush, 112)

struct Wkv4Push {
  address_t k, v, r;       // fp32 [rows, width]
  address_t y;             // fp32 [rows, width]
  address_t decay, first;  // fp32 [width]
  address_t step;
  StateAddress state;  // [numerator | denominator | exponent][width]
  uint width;
  uint stride;    // of k, v and r, floats
  uint y_stride;  // floats
  uint reserved;
};
LAHAR_SHARED_SIZE(Wkv4Push, 96)

struct RgLruPush {
  address_t x, y_gate, y;                // fp32 [rows, width]
  address_t input_gate, recurrent_gate;  // fp32 [rows, width], without their biases
  address_t input_bias, recurrent_bias;  // fp32 [width]
  address_t decay;                       // fp32 [width]
  address_t step;
  StateAddress state;  // [width]
  uint width;
  uint x_stride, gate_stride, y_gate_stride, y_stride;  // floats
  uint reserved;
};
LAHAR_SHARED_SIZE(RgLruPush, 120)

struct DeltaNetPush {
  address_t qkv;          // fp32 [rows, q | k | v]
  address_t beta, alpha;  // fp32 [rows, value_heads]
  address_t y;            // fp32 [rows, value_heads * value_dim]
  address_t decay, bias;  // fp32 [value_heads]
  address_t step;
  StateAddress state;  // [value_heads][value_dim][key_dim]
  uint key_heads, value_dim;
  uint tiled;  // 1: value head h reads key head h % key_heads, else h / (value_heads / key_heads)
  uint qkv_stride, beta_stride, alpha_stride, y_stride;  // floats
  uint reserved;
};
LAHAR_SHARED_SIZE(DeltaNetPush, 112)

// A chunk of a run's tokens at a time (linear_attention/delta_tiles.comp). For each chunk and value head, `pairs` has
// [size][size] what a right side adds to each change of the state behind the chunk; [size][size] what it adds to each y; and
// [size] four coefficients of a token: those of v, of S k and of S q, and the decay of the whole chunk.
struct DeltaPairsPush {
  address_t qkv;          // as above
  address_t beta, alpha;  // as above
  address_t decay, bias;  // as above
  address_t pairs;
  address_t step;
  uint key_heads, value_heads;
  uint tiled;
  uint qkv_stride, beta_stride, alpha_stride;  // floats
};
LAHAR_SHARED_SIZE(DeltaPairsPush, 80)

struct DeltaChunksPush {
  address_t qkv;  // as above
  address_t y;    // as above
  address_t pairs;
  address_t step;
  StateAddress state;  // as above
  uint key_heads, value_dim;
  uint tiled;
  uint qkv_stride, y_stride;  // floats
  uint chunks;                // at most
};
LAHAR_SHARED_SIZE(DeltaChunksPush, 80)

// Raw projections, plane_floats apart: r, k, w, a, v mix, g.
const uint kRwkv7R = 0;
const uint kRwkv7K = 1;
const uint kRwkv7W = 2;
const uint kRwkv7A = 3;
const uint kRwkv7VMix = 4;
const uint kRwkv7G = 5;
const uint kRwkv7Planes = 6;

struct Rwkv7Push {
  address_t planes;                // fp32 [kRwkv7Planes][rows, heads * head_dim]
  address_t v, v_first;            // fp32 [rows, heads * head_dim]
  address_t y;                     // fp32 [rows, heads * head_dim]
  address_t w0, a0, v0, k_k, k_a;  // fp32 [heads * head_dim]
  address_t step;
  StateAddress state;  // [heads][head_dim of v][head_dim of k]
  uint plane_floats;
  uint stride, v_stride, y_stride;  // floats
  uint mix_values;                  // 0: v as it is (the first layer)
  uint reserved;
};
LAHAR_SHARED_SIZE(Rwkv7Push, 128)

struct Rwkv7OutputPush {
  address_t planes, v, v_first;                 // as above
  address_t y;                                  // read and written
  address_t a0, v0, k_a, r_k, norm, norm_bias;  // fp32 [heads * head_dim]
  address_t step;
  uint plane_floats;
  uint stride, v_stride, y_stride;  // floats
  uint mix_values;
  uint heads, head_dim;
  float eps;
};
LAHAR_SHARED_SIZE(Rwkv7OutputPush, 120)

LAHAR_SHARED_END
#endif
