// Qwen3-Next: gated DeltaNet in three layers of four, gated attention in the fourth, experts in all.
#include "arch/gated_delta.h"

namespace lahar::arch {

namespace {

constexpr std::string_view kGguf[] = {"qwen3next"}, kHf[] = {"qwen3_next"};

void read(Config& c, ModelSpec& spec) {
  read_gated_delta(c, spec, false);
  read_gated_delta_experts(c, spec);
}

void adapt(const ModelSpec&, bool gguf, TensorLayout& layout) { adapt_gated_delta(gguf, layout); }

LayerRoles roles(const ModelSpec& spec, uint32_t layer, const ModelSource& source) {
  return gated_delta_roles(spec, layer, source, DeltaNetInput::kByHead, false);
}

}  // namespace

const Architecture kQwen3Next{"qwen3_next", kGguf, kHf, read, adapt, roles};

}  // namespace lahar::arch
