// Gated DeltaNet (Qwen3-Next): linear attention with a state matrix a head, from which the delta rule removes what a key
// stood for before it adds the new value. Source of the formula: Yang, Kautz, Hatamizadeh, "Gated Delta Networks" (2024).
#pragma once

#include "ops/state.h"

namespace lahar::ops {

// For each value head, with its key head's q and k of length 1 (x / sqrt(sum x^2 + 1e-6)), q over sqrt(key_dim) besides:
//   g = exp(decay * softplus(alpha + bias)), b = sigmoid(beta)
//   S <- g S;  S <- S + b (v - S k) k^T;  y = S q
// The state is S, fp32 [value_heads][value_dim][key_dim], in the slots that the runs name. Any split of a sequence into runs
// and steps gives the same.
struct DeltaNetParams {
  Activations qkv;          // [bucket, 2 * key_heads * key_dim + value_heads * value_dim]: q, k, v
  Activations beta, alpha;  // [bucket, value_heads]; any alignment of 4 bytes
  Activations y;            // [bucket, value_heads * value_dim]; apart from the others
  uint32_t key_heads = 0, value_heads = 0, key_dim = 0, value_dim = 0;  // dims are multiples of 4; key_dim at most 256
  bool tiled = false;            // value head h reads key head h % key_heads, else h / (value_heads / key_heads)
  gpu::BufferRange decay, bias;  // fp32 [value_heads]
  StateRef state;
  uint64_t state_offset = 0;  // bytes behind state.address(), a multiple of 16
  gpu::BufferRange scratch;   // delta_net_scratch_bytes(); with less, tokens go one after the other
  StepRef step;
  std::string_view label;
};
Status delta_net(gpu::Recorder& recorder, const DeltaNetParams& params);

uint64_t delta_net_state_bytes(uint32_t value_heads, uint32_t key_dim, uint32_t value_dim);

// Long runs go in chunks of tokens, whose changes of the state are what solves a triangular system: the state is read and
// written once a chunk (Yang, Wang, Zhang, Shen, Kim, "Parallelizing Linear Transformers with the Delta Rule", 2024, in the
// form with the state known). With this much scratch memory they do so where a head's chunks fit into shared memory.
uint64_t delta_net_scratch_bytes(const gpu::Caps& caps, uint32_t rows, uint32_t value_heads);
// Chunks are faster, measured on CPUs and estimated by compilers for GPUs, where workgroups have room for enough rows.
bool delta_net_prefers_chunks(const gpu::Caps& caps, uint32_t key_dim, uint32_t value_dim);

}  // namespace lahar::ops
