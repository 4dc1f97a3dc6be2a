// What the blocks of a layer share while it is recorded.
#pragma once

#include "ops/common.h"
#include "ops/matmul.h"
#include "ops/tuning.h"
#include "spec.h"
#include "weights.h"

namespace lahar {

// Activations of a step; each block says which of them it reads and writes.
struct Scratch {
  ops::Activations x;             // [bucket, hidden]: the residual stream
  ops::Activations normed;        // [bucket, hidden]: input of attention, and of the ffn
  ops::Activations other;         // [bucket, hidden]: what a post norm reads
  ops::Activations wide;          // [bucket, max(q + k + v, gate + up)]
  ops::Activations q;             // [bucket, heads * head_dim]
  ops::Activations mid;           // [bucket, max(heads * head_dim, ffn width)]: input of the projections back to hidden
  ops::Activations streams;       // [bucket, streams * hidden]; empty without AltUp
  ops::Activations layer_inputs;  // [bucket, layers * width]; empty without them
  ops::Activations router_input;  // [bucket, hidden]: what routers read; empty: what their experts read
  gpu::BufferRange converted;     // x of a product, in the type that its kernel wants
  gpu::BufferRange attention;     // partial results of the split decode
  gpu::BufferRange counter;       // uint32 that is 0 between dispatches; empty where no kernel wants it
  gpu::BufferRange block;  // what blocks of other kinds than attention and the dense ffn need: BlockKind::scratch_bytes
};

// Norms of the residual stream before and after a block that its products compute; null: they are done already.
struct BlockNorms {
  const ops::NormFold* before = nullptr;
  const ops::NormFold* after = nullptr;
};

struct Forward {
  gpu::Recorder& recorder;
  const ModelSpec& spec;
  const ModelWeights& weights;
  const Scratch& scratch;
  ops::StepRef step;
  ops::Precision precision = ops::Precision::kDefault;
  uint32_t max_context = 0;
  const ops::Tuning* tuning = nullptr;  // choices that were measured; null: defaults
  uint32_t logit_rows = 0;              // whose logits are wanted, at most; above 0
  bool all_logits = false;              // those of every row may be wanted
};

// y = norm(x), with the model's kind, and its eps where there is no other (0).
Status record_norm(const Forward& f, const NormWeights& weights, const ops::Activations& x, const ops::Activations& y,
                   std::string_view label, float eps = 0);
// The layer's end_scale where its feed-forward applies it; 1 where what comes behind that does.
float ffn_end_scale(const ModelSpec& spec, const LayerSpec& layer);
// x = factor * (x + multiplier * norm(y)).
Status record_added_norm(const Forward& f, const NormWeights& weights, const ops::Activations& y, float multiplier,
                         float factor);
// The end of a block: x += multiplier * (W input), through `other` and the post norm where the layer has one; there, x is
// multiplied by `factor` then.
Status record_output(const Forward& f, const Linear& projection, const ops::Activations& input, const NormWeights* post_norm,
                     float multiplier, const ops::NormFold* after, std::string_view label, float factor = 1);

}  // namespace lahar
