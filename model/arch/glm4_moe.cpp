// GLM 4.5 and later with experts: the first layers are dense, the others have a shared expert; sigmoid scores with a bias
// for the choice.
#include "arch/experts.h"

namespace lahar::arch {

namespace {

constexpr std::string_view kGguf[] = {"glm4moe"}, kHf[] = {"glm4_moe"};

void read(Config& c, ModelSpec& spec) {
  read_common(c, spec, {.default_kv_heads = c.gguf() ? 0u : 8u, .default_context = 131072, .default_eps = 1e-5});
  drop_prediction_layers(c, spec);
  use_one_rope(c, spec, {.partial = true, .default_part = 0.5});
  const bool bias = !c.gguf() && c.flag({"attention_bias", ""}, false);
  const bool normed = c.gguf() ? c.has_tensor("blk.0.attn_q_norm.weight") : c.flag({"use_qk_norm", ""}, false);
  const uint32_t dense = c.count({"first_k_dense_replace", "leading_dense_block_count"}, 0, UINT32_MAX, c.gguf() ? 0 : 1);
  MoeSpec moe = read_moe(
      c, spec,
      {.experts = {"n_routed_experts", "expert_count"}, .default_experts = 128, .default_chosen = 8, .default_width = 1408});
  moe.score = ops::RouterScore::kSigmoid;
  moe.selection_bias = true;
  read_router(c, moe, {.normalize = !c.gguf()});
  const uint32_t shared = c.count({"n_shared_experts", "expert_shared_count"}, 0, ops::kMaxExperts, c.gguf() ? 0 : 1);
  moe.shared_width = shared * moe.width;
  for (uint32_t i = 0; i < spec.layers.size(); ++i) {
    AttentionSpec& a = spec.layers[i].attention;
    a.qkv_bias = bias;
    if (normed) a.qk_norm = ops::QkNorm::kPerHead;
    if (i >= dense) use_experts(spec.layers[i], moe);
  }
}

void adapt(const ModelSpec&, bool gguf, TensorLayout& layout) {
  layout.scaled_ffn = false;
  if (gguf) layout.names.pre_ffn = "post_attention_norm";
}

LayerRoles roles(const ModelSpec& spec, uint32_t layer, const ModelSource& source) {
  return expert_layer_roles(spec, layer, source, kDeepSeekExperts);
}

}  // namespace

const Architecture kGlm4Moe{"glm4_moe", kGguf, kHf, read, adapt, roles};

}  // namespace lahar::arch
