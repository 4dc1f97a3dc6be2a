// What DeepSeek V2 and V3 read alike: latent attention, and experts beside a shared one behind some dense layers.
#pragma once

#include "arch/experts.h"

namespace lahar::arch {

// Everything but what the router adds up; `finish` sets that for the layers with experts, given their number.
void read_deepseek(Config& config, ModelSpec& spec, void (*finish)(Config& config, MoeSpec& moe, uint32_t layer));
LayerRoles deepseek_roles(const ModelSpec& spec, uint32_t layer, const ModelSource& source);

}  // namespace lahar::arch
