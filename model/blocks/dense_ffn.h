// The feed-forward block: gated (SwiGLU, GeGLU) or plain.
#pragma once

#include "blocks/forward.h"

namespace lahar {

// mid = f(gate) * up of Wup normed, or f(up); wide, [bucket, Wup's rows], is used on the way.
Status record_ffn_up(const Forward& f, const FfnSpec& spec, const Linear& up, const ops::Activations& normed,
                     const ops::Activations& wide, const ops::Activations& mid, const ops::NormFold* before);

// x += multiplier * post(Wdown f(Wup normed)), and x *= end_scale. Reads `normed` and x; writes wide, mid and x, and
// `other` where there is a post norm.
Status record_dense_ffn(const Forward& f, const LayerSpec& layer, const LayerWeights& weights,
                        const ops::Activations& normed, const BlockNorms& norms);

}  // namespace lahar
