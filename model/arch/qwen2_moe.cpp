// Qwen 1.5 and 2 with experts: beside the chosen ones a shared expert with a gate of its own.
#include "arch/experts.h"

namespace lahar::arch {

namespace {

constexpr std::string_view kGguf[] = {"qwen2moe"}, kHf[] = {"qwen2_moe"};

void read(Config& c, ModelSpec& spec) {
  read_common(c, spec, {.default_kv_heads = c.gguf() ? 0u : 16u, .default_context = 32768});
  use_one_rope(c, spec);
  const bool slides = !c.gguf() && c.flag({"use_sliding_window", ""}, false);
  const uint32_t window = slides ? read_window(c, 4096) : 0;
  const uint32_t below = slides ? c.count({"max_window_layers", ""}, 0, UINT32_MAX, 28) : 0;
  const bool qkv_bias = c.flag({"qkv_bias", ""}, true);
  MoeSpec moe = read_moe(c, spec, {.default_experts = 60, .default_chosen = 4, .default_width = 1408});
  moe.normalize = c.flag({"norm_topk_prob", ""}, false);
  const Key shared{"shared_expert_intermediate_size", "expert_shared_feed_forward_length"};
  moe.shared_width = c.count(shared, 1, kMaxWidth, c.gguf() ? spec.layers[0].ffn.width : 5632);
  moe.shared_gate = true;
  for (uint32_t i = 0; i < spec.layers.size() && c.status().ok(); ++i) {
    spec.layers[i].attention.qkv_bias = qkv_bias;
    // Without a list every other one of the first layers, unlike in Qwen 2 without experts.
    if (slides && c.sliding_layer(i, i % 2 == 0 && i < below)) spec.layers[i].attention.window = window;
    if (is_sparse_layer(c, i)) use_experts(spec.layers[i], moe);
  }
}

void adapt(const ModelSpec& spec, bool gguf, TensorLayout& layout) { kQwen2.adapt(spec, gguf, layout); }

LayerRoles roles(const ModelSpec& spec, uint32_t layer, const ModelSource& source) {
  return expert_layer_roles(spec, layer, source);
}

}  // namespace

const Architecture kQwen2Moe{"qwen2_moe", kGguf, kHf, read, adapt, roles};

}  // namespace lahar::arch
