// The feed-forward block: gated (SwiGLU, GeGLU) or plain.
#pragma once

#include "blocks/forward.h"

namespace lahar {

// x += multiplier * post(Wdown f(Wup normed)). Reads `normed` and x; writes wide, mid and x, and
// `other` where there is a post norm.
Status record_dense_ffn(const Forward& f, const LayerSpec& layer, const LayerWeights& weights,
                        const ops::Activations& normed, const BlockNorms& norms);

}  // namespace lahar
