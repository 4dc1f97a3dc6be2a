// Causal attention over the paged KV cache: a tiled flash-attention prefill and a decode that is split over the context.
#pragma once

#include "ops/common.h"
#include "ops/tuning.h"

namespace lahar::ops {

// For row t of slot s with kv_index i: softmax over keys j in (i - window, i] (window 0: all j <= i) of
// softcap(scale * q_t . k_j), times v_j. Query head h uses KV head h / (heads / kv_heads).
struct AttentionParams {
  Activations q;    // [bucket, heads * head_dim]
  Activations out;  // [bucket, heads * head_dim]
  uint32_t heads = 0;
  KvRef kv;
  float scale = 1;
  float softcap = 0;    // 0: none; else softcap * tanh(score / softcap)
  uint32_t window = 0;  // keys visible, the row's own included; 0: all
  // fp32 partial results of the split decode: attention_scratch_bytes() bytes.
  gpu::BufferRange scratch;
  uint32_t max_context = 0;  // the longest kv_length of a slot, for the choice of splits
  StepRef step;
  Precision precision = Precision::kDefault;
  const Tuning* tuning = nullptr;
  std::string_view label;
};
// Uses the decode kernel where the step's bucket is at most kDecodeRows (every row may be of another slot), else the prefill
// kernel, which finds its query tiles in StepState::runs.
constexpr uint32_t kDecodeRows = 4;
Status attention(gpu::Recorder& recorder, const AttentionParams& params);
uint64_t attention_scratch_bytes(const gpu::Caps& caps, uint32_t bucket, uint32_t heads, uint32_t head_dim,
                                 uint32_t max_context);

}  // namespace lahar::ops
