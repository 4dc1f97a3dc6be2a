// The feed-forward block of experts: router, chosen experts, shared expert.
#pragma once

#include "blocks/block_kinds.h"

namespace lahar {

extern const BlockKind kExpertsBlock;

}  // namespace lahar
