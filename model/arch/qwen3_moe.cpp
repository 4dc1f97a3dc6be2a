// Qwen 3 with experts.
#include "arch/experts.h"

namespace lahar::arch {

namespace {

constexpr std::string_view kGguf[] = {"qwen3moe"}, kHf[] = {"qwen3_moe"};

void read(Config& c, ModelSpec& spec) {
  read_common(c, spec, {.default_kv_heads = c.gguf() ? 0u : 4u, .default_context = 32768});
  use_one_rope(c, spec);
  read_attention_bias(c, spec);
  MoeSpec moe = read_moe(c, spec, {.default_experts = 128, .default_chosen = 8, .default_width = 768});
  moe.normalize = c.gguf() || c.flag({"norm_topk_prob", ""}, false);
  // Where it is switched on all layers have the window, unlike in Qwen 3 without experts.
  const bool slides = !c.gguf() && c.flag({"use_sliding_window", ""}, false);
  const uint32_t window = slides ? read_window(c, 4096) : 0;
  for (uint32_t i = 0; i < spec.layers.size() && c.status().ok(); ++i) {
    spec.layers[i].attention.qk_norm = ops::QkNorm::kPerHead;
    spec.layers[i].attention.window = window;
    if (is_sparse_layer(c, i)) use_experts(spec.layers[i], moe);
  }
}

LayerRoles roles(const ModelSpec& spec, uint32_t layer, const ModelSource& source) {
  return expert_layer_roles(spec, layer, source, {.gguf_scaled = true});
}

}  // namespace

const Architecture kQwen3Moe{"qwen3_moe", kGguf, kHf, read, nullptr, roles};

}  // namespace lahar::arch
