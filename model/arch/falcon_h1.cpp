// Falcon H1: attention and Mamba-2 side by side in every layer, and a factor on nearly everything. A GGUF has the factors in
// its weights.
#include <array>
#include <nlohmann/json.hpp>

#include "arch/ssm.h"

namespace lahar::arch {

namespace {

constexpr std::string_view kGguf[] = {"falcon-h1"}, kHf[] = {"falcon_h1"};

float factor(Config& c, std::string_view key) {
  return c.gguf() ? 1.0f : static_cast<float>(c.number({key, ""}, -1e9, 1e9, 1));
}

template <size_t kCount>
std::array<float, kCount> factors(const Config& c, const char* key) {
  std::array<float, kCount> values;
  values.fill(1);
  const auto found = c.json().find(key);
  if (found != c.json().end() && found->is_array() && found->size() == kCount)
    for (size_t i = 0; i < kCount; ++i)
      if ((*found)[i].is_number()) values[i] = (*found)[i].template get<float>();
  return values;
}

// Of z, x, B, C and dt.
std::array<float, 5> ssm_factors(const Config& c) { return factors<5>(c, "ssm_multipliers"); }

SsmSpec read_ssm(Config& c, const ModelSpec& spec) {
  Mamba2Keys keys{.out_bias = {"projectors_bias", ""}, .default_state = 256, .default_heads = 128};
  // What config.json says of the channels as such counts before what follows from the heads.
  const bool stated = !c.gguf() && c.has({"mamba_d_ssm", ""});
  if (stated) keys.default_head_dim = c.count({"mamba_d_ssm", ""}, 1, kMaxWidth) / c.count(keys.heads, 1, kMaxHeads, 128);
  if (stated) keys.head_dim = keys.expand = {};
  SsmSpec s = read_mamba2(c, spec, keys);
  s.norm_groups = s.groups;
  if (c.gguf()) {
    if (!c.has_tensor("blk.0.ssm_norm.weight")) s.gate = ops::GateOrder::kGateAlone;
    s.conv_bias = c.has_tensor("blk.0.ssm_conv1d.bias");
    return s;
  }
  if (!c.flag({"mamba_rms_norm", ""}, false)) s.gate = ops::GateOrder::kGateAlone;
  else if (c.flag({"mamba_norm_before_gate", ""}, true)) s.gate = ops::GateOrder::kNormFirst;
  const auto each = ssm_factors(c);
  s.in_scale = factor(c, "ssm_in_multiplier");
  s.out_scale = factor(c, "ssm_out_multiplier");
  s.gate_scale = each[0];
  s.dt_scale = each[4];
  s.conv_scales = {each[1], each[2], each[3]};
  return s;
}

void read(Config& c, ModelSpec& spec) {
  read_common(c, spec, {.default_kv_heads = c.gguf() ? 0u : 8u, .default_context = 8192, .default_eps = 1e-5});
  use_one_rope(c, spec, {});
  if (c.gguf())
    for (RopeSpec& rope : spec.ropes) rope.config.short_factors.clear();  // files may hold some, nobody uses them
  read_attention_bias(c, spec);
  const SsmSpec ssm = read_ssm(c, spec);
  const bool mlp_bias = !c.gguf() && c.flag({"mlp_bias", ""}, false);
  spec.embedding_scale = factor(c, "embedding_multiplier");
  spec.logit_scale = factor(c, "lm_head_multiplier");
  const float in = factor(c, "attention_in_multiplier"), out = factor(c, "attention_out_multiplier");
  const auto mlp = c.gguf() ? std::array<float, 2>{1, 1} : factors<2>(c, "mlp_multipliers");
  for (LayerSpec& layer : spec.layers) {
    layer.mixer = Mixer::kAttentionMamba2;
    layer.ssm = ssm;
    // The input's factor reaches q, k and v.
    layer.attention.scale *= in * in * factor(c, "key_multiplier");
    layer.attention.output_scale = in * out;
    if (layer.attention.qkv_bias && in == 0)
      c.fail(ErrorCode::kUnsupported, "config.json: attention_in_multiplier: 0 with attention_bias is not supported");
    if (layer.attention.qkv_bias) layer.attention.bias_scale = 1 / in;  // the factors of q, k, v are not theirs
    layer.ffn.up_bias = layer.ffn.down_bias = mlp_bias;
    layer.ffn.gate_scale = mlp[0];
    layer.ffn.down_scale = mlp[1];
  }
}

void adapt(const ModelSpec&, bool gguf, TensorLayout& layout) {
  if (gguf) {
    layout.scaled_ffn = false;
    return;
  }
  layout.names.final_norm = "final_layernorm";
  layout.names.pre_ffn = "pre_ff_layernorm";
  layout.names.gate = "feed_forward.gate_proj";
  layout.names.up = "feed_forward.up_proj";
  layout.names.down = "feed_forward.down_proj";
}

LayerRoles roles(const ModelSpec& spec, uint32_t layer, const ModelSource& source) {
  return {.mixer = mamba2_roles(spec, spec.layers[layer], source.gguf() != nullptr, "mamba."), .ffn = {}};
}

}  // namespace

const Architecture kFalconH1{"falcon_h1", kGguf, kHf, read, adapt, roles};

}  // namespace lahar::arch
