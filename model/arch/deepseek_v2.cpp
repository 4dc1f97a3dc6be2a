// DeepSeek V2: multi-head latent attention, softmax routing within groups of experts. The GGUF architecture deepseek2 is
// that of V3 too (and of Kimi K2 and others made like it): its keys tell the routers apart.
#include "arch/deepseek.h"
#include "arch/mla_config.h"

namespace lahar::arch {

void read_deepseek(Config& c, ModelSpec& spec, void (*finish)(Config&, MoeSpec&, uint32_t)) {
  Common common = mla_common();
  common.default_context = 4096;
  read_common(c, spec, common);
  if (c.flag({"attention_bias", ""}, false) || c.flag({"mlp_bias", ""}, false))
    c.fail(ErrorCode::kUnsupported,
           "biases in latent attention's projections or in the feed-forward blocks are not supported");
  read_mla(c, spec);
  drop_prediction_layers(c, spec);
  const auto layers = static_cast<uint32_t>(spec.layers.size());
  const uint32_t dense = c.count({"first_k_dense_replace", "leading_dense_block_count"}, 0, layers, 0);
  const uint32_t every = c.count({"moe_layer_freq", ""}, 1, UINT32_MAX, 1);
  for (uint32_t i = dense; i < layers && c.status().ok(); ++i) {
    if (i % every != 0) continue;
    MoeSpec moe = read_moe(c, spec, {.experts = {"n_routed_experts", "expert_count"}}, i);
    read_router(c, moe);
    const uint32_t shared = c.count({"n_shared_experts", "expert_shared_count"}, 0, ops::kMaxExperts, 0);
    moe.shared_width = shared * moe.width;
    finish(c, moe, i);
    use_experts(spec.layers[i], moe);
  }
}

LayerRoles deepseek_roles(const ModelSpec& spec, uint32_t layer, const ModelSource& source) {
  LayerRoles roles = expert_layer_roles(spec, layer, source, kDeepSeekExperts);
  roles.mixer = mla_roles(spec, spec.layers[layer], source);
  return roles;
}

namespace {

constexpr std::string_view kGguf[] = {"deepseek2"}, kHf[] = {"deepseek_v2"};

void finish(Config& c, MoeSpec& moe, uint32_t layer) {
  moe.selection_bias = c.gguf() && c.has_tensor("blk." + std::to_string(layer) + ".exp_probs_b.bias");
  if (moe.score == ops::RouterScore::kSoftmax) moe.group_score = ops::GroupScore::kHighest;
  // Without groups in the method's name their numbers mean nothing, and the weights stay as they are.
  if (!c.gguf() && c.text({"topk_method", ""}, "greedy") == "greedy") moe.groups = moe.groups_chosen = 1;
  if (!c.gguf()) moe.normalize = false;
}

void read(Config& c, ModelSpec& spec) { read_deepseek(c, spec, finish); }

void adapt(const ModelSpec&, bool, TensorLayout& layout) { layout.scaled_ffn = false; }

}  // namespace

const Architecture kDeepSeekV2{"deepseek_v2", kGguf, kHf, read, adapt, deepseek_roles};

}  // namespace lahar::arch
