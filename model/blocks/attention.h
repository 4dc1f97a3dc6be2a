// Attention over the paged KV cache: projections, q/k norm, RoPE, cache write, scores, output.
#pragma once

#include "blocks/forward.h"

namespace lahar {

// x += multiplier * post(Wo attention(Wqkv normed)). Reads `normed` and x; writes wide, q, mid, x and the KV pages, and
// `other` where there is a post norm.
Status record_attention(const Forward& f, const LayerSpec& layer, const LayerWeights& weights,
                        const ops::Activations& normed, const ops::KvRef& kv, const BlockNorms& norms);

}  // namespace lahar
