// Attention over the paged KV cache: projections, q/k norm, RoPE, cache write, scores, output.
#pragma once

#include "blocks/forward.h"
#include "ops/attention_block.h"
#include "ops/rope.h"

namespace lahar {

// The params of a layer's attention as one dispatch: what does not depend on a step.
struct WholeAttention {
  ops::RopeKvParams rope;
  ops::AttentionBlockParams params;  // points to the rope

  WholeAttention() = default;
  WholeAttention(const WholeAttention&) = delete;
  // False where there is more to the layer than ops::attention_block() computes.
  bool make(const ModelSpec& model, const ModelWeights& model_weights, const Scratch& scratch, const LayerSpec& layer,
            const LayerWeights& weights);
};

// x += multiplier * post(Wo attention(Wqkv normed)). Reads `normed` and x; writes wide, q, mid, x and the KV pages, and
// `other` where there is a post norm. `whole_block`: of AttentionBlocks; empty where there is none.
Status record_attention(const Forward& f, const LayerSpec& layer, const LayerWeights& weights,
                        const ops::Activations& normed, const ops::KvRef& kv, const BlockNorms& norms,
                        const gpu::BufferRange& whole_block = {});

}  // namespace lahar
