// Causal attention over the paged KV cache: flash attention over tiles of rows (prefill), and kernels for few rows that are
// split over the context (decode).
#pragma once

#include "ops/common.h"
#include "ops/tuning.h"

namespace lahar::ops {

struct RopeKvParams;

// For row t of slot s with kv_index i: softmax over keys j in (i - window, i] (window 0: all j <= i), of i's chunk alone, of
// softcap(scale * q_t . k_j) + slope_h * (j - i), times v_j; the sum of the softmax has a term exp(sink_h) more. Query head
// h uses KV head h / (heads / kv_heads). Pages that nobody sees are not read.
struct AttentionParams {
  Activations q;    // [bucket, heads * head_dim]; the rope's, where there is one
  Activations out;  // [bucket, heads * kv.value_dim()]
  uint32_t heads = 0;
  KvRef kv;
  float scale = 1;
  float softcap = 0;       // 0: none; else softcap * tanh(score / softcap)
  uint32_t window = 0;     // keys visible, the row's own included; 0: all
  uint32_t chunk = 0;      // above 0: keys visible are those of the same `chunk` positions, [i - i % chunk, i]
  gpu::BufferRange sinks;  // fp32 [heads] logits; empty: none
  // ALiBi's largest exponent, usually 8: slope_h = 2^(-alibi (h + 1) / n) where n is the largest power of two of at most
  // `heads`, and for heads from n on 2^(-alibi (h - n + 1/2) / n). 0: no slopes.
  float alibi = 0;
  bool alibi_scaled = false;  // slopes are multiplied by scale too
  // fp32 partial results of the split decode: attention_scratch_bytes() bytes.
  gpu::BufferRange scratch;
  uint32_t max_context =
      0;  // no row has a kv_index at or above it; what the context is split by. 0: all that a slot can hold
  StepRef step;
  Precision precision = Precision::kDefault;
  const Tuning* tuning = nullptr;
  std::string_view label;
  // What makes q, and stores this step's keys and values beforehand: along with attention, in which case q is not written,
  // or by a dispatch of its own. Null: that was done.
  const RopeKvParams* rope = nullptr;
};
// Steps of at most so many rows take the kernels that are split over the context; above, those that find their query tiles
// in StepState::runs.
constexpr uint32_t kDecodeRows = 16;
Status attention(gpu::Recorder& recorder, const AttentionParams& params);
// The StepRef::context that a step is recorded for whose rows see at most so many positions. On a GPU 0, one program for all
// contexts: its kernels find their share of the keys themselves, and workgroups without one cost nothing. A CPU driver
// computes every part of the context that a program has, so that programs are recorded for contexts that grow by a sixteenth
// or so.
uint32_t recorded_context(const gpu::Caps& caps, uint32_t positions);
// Enough for every bucket up to this one, every context up to this one and every form.
uint64_t attention_scratch_bytes(const gpu::Caps& caps, uint32_t bucket, uint32_t heads, uint32_t head_dim,
                                 uint32_t max_context);

}  // namespace lahar::ops
