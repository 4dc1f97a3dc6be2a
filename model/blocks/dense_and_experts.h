// A dense feed-forward block and one of experts side by side (Gemma 4).
// With d = dense(normed) and e = experts(norm(x)), routed by the logits of another norm of x:
//   x = end_scale * (x + multiplier * post(post_d(d) + post_e(e)))
#pragma once

#include "blocks/block_kinds.h"

namespace lahar {

extern const BlockKind kDenseAndExpertsBlock;

}  // namespace lahar
