// A whole attention block in one dispatch, on devices where a dispatch costs more than its work.
#pragma once

#include "ops/attention.h"
#include "ops/matmul.h"
#include "params_attention.h"

namespace lahar::ops {

// y += residual_scale * (out attention(rope(qkv x + bias))), for a step of one row. What attention.rope reads as qkv, and
// attention.out, are written on the way.
struct AttentionBlockParams {
  const quant::Matrix* qkv = nullptr;  // [(heads + 2 kv_heads) * head_dim, cols]
  const quant::Matrix* out = nullptr;  // [rows, heads * head_dim], of the same format
  gpu::BufferRange bias;               // fp32, of q, k and v; optional
  Activations x;                       // [1, cols]
  Activations y;                       // [1, rows]
  float residual_scale = 1;
  const NormFold* x_norm = nullptr;  // x is its `scaled`
  const NormFold* y_norm = nullptr;  // follows y
  AttentionParams attention;         // with a rope; its label is the block's
  gpu::BufferRange parts;            // fp32 [kv_heads][rows], written
  gpu::BufferRange counter;          // uint32; 0 beforehand, and 0 again
  gpu::BufferRange block;            // attention_block_contents(), uploaded
};
// False where the device, the formats or the sizes rule it out, or the parts' forms of the same code are in quarantine
// (attention.tuning): matmul() and attention() compute the parts then. `block` need not be there.
bool can_attention_block(const gpu::Caps& caps, const AttentionBlockParams& params);
// Needs no step, and of attention no KV pool: what stays the same from step to step.
params::AttentionBlock attention_block_contents(const AttentionBlockParams& params);
// Errors: kInvalidArgument (shapes that do not fit together, with the label; !can_attention_block()).
Status attention_block(gpu::Recorder& recorder, const AttentionBlockParams& params);

}  // namespace lahar::ops
