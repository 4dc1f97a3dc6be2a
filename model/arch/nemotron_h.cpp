// Nemotron-H: every layer is one block alone: Mamba-2, attention without positions, a feed-forward block or experts.
#include <algorithm>
#include <nlohmann/json.hpp>
#include <optional>

#include "arch/experts.h"
#include "arch/ssm.h"

namespace lahar::arch {

namespace {

constexpr std::string_view kGguf[] = {"nemotron_h", "nemotron_h_moe"}, kHf[] = {"nemotron_h"};

enum class Kind { kMamba, kAttention, kFfn, kExperts };

constexpr ExpertNames kExpertNames{.router = "mixer.gate",
                                   .selection_bias = "mixer.gate.e_score_correction_bias",
                                   .experts = "mixer.experts.",
                                   .all_gate_up = "",
                                   .all_down = "mixer.experts.down_proj",
                                   .all_up = "mixer.experts.up_proj",
                                   .shared_up = "mixer.shared_experts.up_proj",
                                   .shared_down = "mixer.shared_experts.down_proj",
                                   .latent_in = "mixer.fc1_latent_proj",
                                   .latent_out = "mixer.fc2_latent_proj"};

// From config.json: one word a layer, or one letter a layer.
std::vector<std::string> listed_kinds(const Config& c) {
  std::vector<std::string> kinds;
  const auto& json = c.json();
  for (const char* key : {"layers_block_type", "layer_types", "hybrid_override_pattern"}) {
    const auto found = json.find(key);
    if (found == json.end() || !kinds.empty()) continue;
    if (found->is_array())
      for (const auto& entry : *found) kinds.push_back(entry.is_string() ? entry.get<std::string>() : "");
    if (found->is_string())
      for (const char letter : found->get<std::string>()) kinds.emplace_back(1, letter);
  }
  return kinds;
}

Kind kind_of(Config& c, const std::vector<std::string>& listed, uint32_t layer) {
  if (c.gguf()) {
    if (c.layer_count({"", "feed_forward_length"}, layer, 0, kMaxWidth, 0) > 0)
      return c.has_tensor("blk." + std::to_string(layer) + ".ffn_gate_inp.weight") ? Kind::kExperts : Kind::kFfn;
    return c.layer_count({"", "attention.head_count_kv"}, layer, 0, kMaxHeads, 0) > 0 ? Kind::kAttention : Kind::kMamba;
  }
  const std::string kind = layer < listed.size() ? listed[layer] : "";
  if (kind == "mamba" || kind == "linear_attention" || kind == "M") return Kind::kMamba;
  if (kind == "attention" || kind == "full_attention" || kind == "*") return Kind::kAttention;
  if (kind == "mlp" || kind == "-") return Kind::kFfn;
  if (kind == "moe" || kind == "E") return Kind::kExperts;
  c.fail(ErrorCode::kUnsupported, "config.json: layer " + std::to_string(layer) + " is '" + kind.substr(0, 40) +
                                      "', which is not supported; mamba (M), attention (*), mlp (-) and moe (E) are");
  return Kind::kMamba;
}

void make(LayerSpec& layer, Kind kind, const SsmSpec& ssm) {
  if (kind == Kind::kMamba || kind == Kind::kAttention) {
    drop_ffn(layer);
    if (kind == Kind::kMamba) use_mamba2(layer, ssm);
    return;
  }
  layer.mixer = Mixer::kNone;
  layer.attention = {};
  layer.pre_attention_norm = false;
}

// Of all layers with experts, the first of which is `layer`.
MoeSpec read_experts(Config& c, const ModelSpec& spec, uint32_t layer) {
  const FfnSpec& dense = spec.layers[layer].ffn;
  MoeSpec moe = read_moe(
      c, spec,
      {.experts = {"n_routed_experts", "expert_count"}, .default_experts = 8, .default_chosen = 2, .default_width = 7688},
      layer);
  read_router(c, moe, {.normalize = !c.gguf()});
  moe.score = ops::RouterScore::kSigmoid;
  moe.selection_bias = true;
  moe.gated = false;
  moe.activation = dense.activation;
  const Key shared{"moe_shared_expert_intermediate_size", "expert_shared_feed_forward_length"};
  moe.shared_width = c.gguf() ? c.count(shared, 1, kMaxWidth) : c.count(shared, 1, kMaxWidth, 7688);
  const Key latent{"moe_latent_size", "moe_latent_size"};
  moe.latent = c.has(latent) ? c.count(latent, 1, kMaxWidth) : 0;
  moe.shared_bias = moe.latent_bias = !c.gguf() && dense.up_bias;
  return moe;
}

void read(Config& c, ModelSpec& spec) {
  const std::vector<std::string> listed = listed_kinds(c);
  if (!c.gguf() && (listed.empty() || listed.size() > c.source().tensors().size()))
    c.fail_key({"layers_block_type", ""}, "expected a list with one string a layer");
  uint32_t width = 0;  // of any feed-forward block
  for (uint32_t i = 0; c.gguf() && i < c.source().tensors().size() && i < 4096 && width == 0; ++i)
    width = c.layer_count({"", "feed_forward_length"}, i, 0, kMaxWidth, 0);
  read_common(c, spec,
              {.layers = {"", "block_count"},  // as many as are listed
               .eps = {"layer_norm_epsilon", "attention.layer_norm_rms_epsilon"},
               .activation = {"mlp_hidden_act", ""},
               .default_activation = "relu2",
               .default_layers = c.gguf() ? 0 : std::max(static_cast<uint32_t>(listed.size()), 1u),
               .default_kv_heads = c.gguf() ? 0u : 8u,
               .default_head_dim = 128,
               .default_context = 4096,
               .default_width = c.gguf() ? std::max(width, 1u) : 0,
               .default_eps = 1e-5});
  SsmSpec ssm = read_mamba2(c, spec,
                            {.state = {"ssm_state_size", "ssm.state_size"},
                             .conv = {"conv_kernel", "ssm.conv_kernel"},
                             .heads = {"mamba_num_heads", "ssm.time_step_rank"},
                             .head_dim = {"mamba_head_dim", ""},
                             .groups = {"n_groups", "ssm.group_count"},
                             .expand = {},
                             .conv_bias = {"use_conv_bias", ""},
                             .in_bias = {"use_bias", ""},
                             .out_bias = {"use_bias", ""},
                             .activation = {"mamba_hidden_act", ""},
                             .default_state = 128,
                             .default_heads = 128,
                             .default_groups = 8});
  ssm.norm_groups = ssm.groups;
  if (!c.gguf()) {
    // The reference clamps from below alone.
    ssm.dt_min = static_cast<float>(c.number({"time_step_min", ""}, 0, 1e9, 0.001));
    ssm.dt_max = 3.4e38f;
  }
  spec.tied_head = false;  // nothing is tied, whatever is configured
  drop_prediction_layers(c, spec);
  // The reference's own layers never have biases; those of NVIDIA's code have them where the configuration says so.
  const bool attention_bias = has_in_layers(c.source(), c.gguf() ? "attn_q.bias" : "mixer.q_proj.bias");
  const bool mlp_bias = c.gguf() ? has_in_layers(c.source(), "ffn_up.bias") : c.flag({"mlp_bias", ""}, false);
  const ops::Activation activation = c.gguf() ? ops::Activation::kReluSquared : spec.layers[0].ffn.activation;
  std::optional<MoeSpec> experts;
  for (uint32_t i = 0; i < spec.layers.size() && c.status().ok(); ++i) {
    LayerSpec& layer = spec.layers[i];
    layer.attention.qkv_bias = layer.attention.output_bias = attention_bias;
    layer.ffn.gated = false;
    layer.ffn.up_bias = layer.ffn.down_bias = mlp_bias;
    layer.ffn.activation = activation;
    const Kind kind = kind_of(c, listed, i);
    make(layer, kind, ssm);
    if (kind != Kind::kExperts) continue;
    if (!experts) experts = read_experts(c, spec, i);
    use_experts(layer, *experts);
  }
}

void adapt(const ModelSpec&, bool gguf, TensorLayout& layout) {
  TensorNames& n = layout.names;
  if (gguf) {
    n.pre_ffn = n.pre_attention;
    return;
  }
  n = {.embedding = "embeddings",
       .other_embedding = "embedding",
       .final_norm = "norm_f",
       .pre_attention = "norm",
       .pre_ffn = "norm",
       .q = "mixer.q_proj",
       .k = "mixer.k_proj",
       .v = "mixer.v_proj",
       .attention_output = "mixer.o_proj",
       .gate = "",
       .up = "mixer.up_proj",
       .down = "mixer.down_proj"};
}

LayerRoles roles(const ModelSpec& spec, uint32_t index, const ModelSource& source) {
  const LayerSpec& layer = spec.layers[index];
  LayerRoles roles = expert_layer_roles(spec, index, source, kExpertNames);
  if (layer.mixer == Mixer::kMamba2) roles.mixer = mamba2_roles(spec, layer, source.gguf() != nullptr, "mixer.");
  return roles;
}

}  // namespace

const Architecture kNemotronH{"nemotron_h", kGguf, kHf, read, adapt, roles};

}  // namespace lahar::arch
