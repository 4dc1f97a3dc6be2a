// Qwen3.5 (the text half): Qwen3-Next's layers with projections of their own, dense or with experts. GGUF files have the
// value heads in another order.
#include "arch/gated_delta.h"

namespace lahar::arch {

namespace {

constexpr std::string_view kGguf[] = {"qwen35"}, kHf[] = {"qwen3_5_text", "qwen3_5"};
constexpr std::string_view kMoeGguf[] = {"qwen35moe"}, kMoeHf[] = {"qwen3_5_moe_text", "qwen3_5_moe"};

void read(Config& c, ModelSpec& spec) { read_gated_delta(c, spec, c.gguf()); }

void read_experts(Config& c, ModelSpec& spec) {
  read(c, spec);
  read_gated_delta_experts(c, spec);
}

void adapt(const ModelSpec&, bool gguf, TensorLayout& layout) { adapt_gated_delta(gguf, layout); }

LayerRoles roles(const ModelSpec& spec, uint32_t layer, const ModelSource& source) {
  return gated_delta_roles(spec, layer, source, DeltaNetInput::kSeparate, true);
}

}  // namespace

const Architecture kQwen35{"qwen3_5", kGguf, kHf, read, adapt, roles};
const Architecture kQwen35Moe{"qwen3_5_moe", kMoeGguf, kMoeHf, read_experts, adapt, roles};

}  // namespace lahar::arch
