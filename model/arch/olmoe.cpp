// OLMoE: experts, and RMSNorm over all heads of q and of k together.
#include "arch/experts.h"

namespace lahar::arch {

namespace {

constexpr std::string_view kNames[] = {"olmoe"};

void read(Config& c, ModelSpec& spec) {
  read_common(c, spec, {.default_context = 4096, .default_eps = 1e-5});
  use_one_rope(c, spec);
  read_attention_bias(c, spec);
  const auto clamp = static_cast<float>(c.number({"clip_qkv", ""}, 1e-6, 1e9, 0));
  MoeSpec moe = read_moe(c, spec,
                         {.width = {"intermediate_size", "expert_feed_forward_length"},
                          .default_experts = 64,
                          .default_chosen = 8,
                          .default_width = 2048});
  moe.normalize = c.flag({"norm_topk_prob", ""}, false);
  for (LayerSpec& layer : spec.layers) {
    layer.attention.qk_norm = ops::QkNorm::kFull;
    layer.attention.clamp = clamp;
    layer.attention.clamp_normed = true;
    use_experts(layer, moe);
  }
}

LayerRoles roles(const ModelSpec& spec, uint32_t layer, const ModelSource& source) {
  return expert_layer_roles(spec, layer, source);
}

}  // namespace

const Architecture kOlmoe{"olmoe", kNames, kNames, read, nullptr, roles};

}  // namespace lahar::arch
