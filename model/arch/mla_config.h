// Multi-head latent attention in a configuration and in a file, as DeepSeek's models have it.
#pragma once

#include "arch/common.h"

namespace lahar::arch {

// read_common's keys for such models: their head sizes are read by read_mla.
Common mla_common();

// Turns every layer's attention into latent attention: sizes, RoPE over the rotated dims (with YaRN's part in the scale of
// q . k), pages of one latent a token. After read_common(mla_common()).
void read_mla(Config& config, ModelSpec& spec);

// The weights of such a layer's mixer, see blocks/mla.h.
BlockRoles mla_roles(const ModelSpec& spec, const LayerSpec& layer, const ModelSource& source);

}  // namespace lahar::arch
