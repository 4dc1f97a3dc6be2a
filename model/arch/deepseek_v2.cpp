// DeepSeek V2: multi-head latent attention, softmax routing within groups of experts. The GGUF architecture deepseek2 is
// that of V3 too (and of Kimi K2 and others made like it): its keys tell the routers apart.
#include <algorithm>

#include "arch/deepseek.h"
#include "arch/mla_config.h"

namespace lahar::arch {

void read_deepseek(Config& c, ModelSpec& spec, const DeepSeek& form) {
  Common common = mla_common();
  common.default_context = 4096;
  read_common(c, spec, common);
  read_attention_bias(c, spec);
  const bool ffn_bias = form.ffn_bias && !c.gguf() && c.flag({"mlp_bias", ""}, false);
  for (LayerSpec& layer : spec.layers) layer.ffn.up_bias = layer.ffn.down_bias = ffn_bias;
  read_mla(c, spec);
  drop_prediction_layers(c, spec);
  const auto layers = static_cast<uint32_t>(spec.layers.size());
  const uint32_t dense = c.count({"first_k_dense_replace", "leading_dense_block_count"}, 0, layers,
                                 c.gguf() ? 0 : std::min(form.dense_layers, layers));
  const uint32_t every = c.count({"moe_layer_freq", ""}, 1, UINT32_MAX, 1);
  for (uint32_t i = dense; i < layers && c.status().ok(); ++i) {
    if (i % every != 0) continue;
    MoeSpec moe = read_moe(c, spec, form.experts, i);
    read_router(c, moe, form.router);
    const Key shared_key{"n_shared_experts", "expert_shared_count"};
    const uint32_t shared =
        c.count(shared_key, 0, ops::kMaxExperts, c.gguf() || c.is_null(shared_key) ? 0 : form.shared_experts);
    moe.shared_width = shared * moe.width;
    moe.shared_bias = ffn_bias;
    form.finish(c, moe);
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

void finish(Config& c, MoeSpec& moe) {
  if (moe.score == ops::RouterScore::kSoftmax) moe.group_score = ops::GroupScore::kHighest;
  if (!c.gguf()) moe.normalize = false;  // the weights stay as they are, whatever norm_topk_prob says
}

void read(Config& c, ModelSpec& spec) {
  const Key method{"topk_method", ""};
  const std::string choice = c.gguf() ? "" : c.text(method, "greedy");
  if (!c.gguf() && choice != "greedy" && choice != "group_limited_greedy")
    c.fail(ErrorCode::kUnsupported,
           c.spelled(method) + ": '" + choice.substr(0, 40) + "' is not supported; greedy and group_limited_greedy are");
  read_deepseek(c, spec,
                {.finish = finish,
                 .dense_layers = 0,
                 .shared_experts = 2,
                 .experts = {.experts = {"n_routed_experts", "expert_count"}, .default_experts = 64, .default_width = 1407},
                 // Without groups in the method's name their numbers mean nothing.
                 .router = {.grouped = choice != "greedy"},
                 .ffn_bias = true});
}

void adapt(const ModelSpec&, bool, TensorLayout& layout) { layout.scaled_ffn = false; }

}  // namespace

const Architecture kDeepSeekV2{"deepseek_v2", kGguf, kHf, read, adapt, deepseek_roles};

}  // namespace lahar::arch
