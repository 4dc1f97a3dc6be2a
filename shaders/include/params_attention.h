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

// decode_loop.comp's; the rest are constants of the pipeline. With RoPE, q is one row of q, k and v, side by side.
struct AttentionLoopPush {
  address_t q;
  address_t y;
  address_t scratch;
  address_t sinks;
  address_t step;
  KvAddress kv;
  address_t frequencies;     // fp32 [rope_dims / 2]
  address_t q_norm, k_norm;  // fp32 [head_dim] or [heads * head_dim]
  uint window;
  float scale;
  float softcap;
  float alibi;
  float magnitude;  // of cos and sin
  float eps;        // of the q/k norm
};
LAHAR_SHARED_SIZE(AttentionLoopPush, 128)

// What stays the same from step to step of a whole attention block (block_loop.comp).
struct AttentionBlock {
  address_t qkv_planes[3];   // [(heads + 2 kv_heads) * head_dim, cols]
  address_t out_planes[3];   // [rows, heads * head_dim]
  address_t bias;            // fp32, of q, k and v
  address_t x;               // fp32 [cols]: NormFold::scaled of the norm before, or a row that is normed already
  address_t qkv;             // fp32, q, k and v side by side
  address_t attended;        // fp32 [heads * head_dim]
  address_t parts;           // fp32 [kv_heads][rows]
  address_t counter;         // uint, 0 between dispatches
  address_t y;               // fp32 [rows], added to
  address_t x_fold, y_fold;  // NormFold of the norm before and of the one after
  address_t frequencies;     // fp32 [rope_dims / 2]
  address_t q_norm, k_norm;  // fp32 [head_dim] or [heads * head_dim]
  address_t sinks;           // fp32 [heads]
  uint rows;
  uint reserved;
};
LAHAR_SHARED_SIZE(AttentionBlock, 160)

struct AttentionBlockPush {
  address_t block;  // AttentionBlock
  address_t step;
  KvAddress kv;
  uint window;
  float scale;
  float softcap;
  float alibi;
  float magnitude;  // of cos and sin
  float eps;        // of the q/k norm
  float residual_scale;
  uint blocks;      // whole blocks of the columns of the projection,
  uint out_blocks;  // and of a KV head's columns of the way back
};
LAHAR_SHARED_SIZE(AttentionBlockPush, 96)

// A partial result: the maximum score, the sum of exp(score - maximum), two unused floats, then the weighted sum of values,
// not yet divided. Sum 0: the split saw no key, the rest is undefined.
const uint kPartialHeader = 4;

LAHAR_SHARED_END
#endif
