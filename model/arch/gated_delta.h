// Layers of gated DeltaNet beside gated attention: what Qwen3-Next and Qwen3.5 share.
#pragma once

#include "arch/experts.h"

namespace lahar::arch {

// How a file keeps the projection into a DeltaNet layer.
enum class DeltaNetInput {
  kByHead,    // q, k, v and z of each key head together; so are beta and alpha
  kSeparate,  // tensors of their own
};

// Sizes, RoPE of a part of each head, gated attention, and layers of gated DeltaNet where the configuration says so.
// tiled: see DeltaNetSpec.
void read_gated_delta(Config& config, ModelSpec& spec, bool tiled);
// Experts with a gated shared one, in the layers that have some.
void read_gated_delta_experts(Config& config, ModelSpec& spec);
void adapt_gated_delta(bool gguf, TensorLayout& layout);
// scaled: GGUF's scales count.
LayerRoles gated_delta_roles(const ModelSpec& spec, uint32_t layer, const ModelSource& source, DeltaNetInput input,
                             bool scaled);

}  // namespace lahar::arch
