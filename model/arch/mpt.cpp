// MPT: ALiBi, LayerNorm, as a rule no biases, q, k and v clamped. GGUF files of its relatives have biases, learned positions
// and norms over all heads of q and of k.
#include <nlohmann/json.hpp>

#include "arch/common.h"

namespace lahar::arch {

namespace {

constexpr std::string_view kNames[] = {"mpt"};

struct Attention {
  double alibi = 0, clamp = 0, scale = 0;  // 0: none
};

Attention read_attention(Config& c) {
  if (c.gguf())
    return {.alibi = c.number({"", "attention.max_alibi_bias"}, 0, 1e3, 0),
            .clamp = c.number({"", "attention.clamp_kqv"}, 0, 1e9, 0)};
  static const nlohmann::json none = nlohmann::json::object();
  auto found = c.json().find("attn_config");
  const nlohmann::json& config = found != c.json().end() && found->is_object() ? *found : none;
  Attention attention{.alibi = c.number_in(config, "config.json: attn_config", "alibi_bias_max", 1e-6, 1e3, 8),
                      .clamp = c.number_in(config, "config.json: attn_config", "clip_qkv", 0, 1e9, 0),
                      .scale = c.number_in(config, "config.json: attn_config", "softmax_scale", 0, 1e9, 0)};
  for (const char* option : {"qk_ln", "prefix_lm"})
    if (auto flag = config.find(option); flag != config.end() && flag->is_boolean() && flag->get<bool>())
      c.fail(ErrorCode::kUnsupported, "config.json: attn_config: " + std::string(option) + " is not supported");
  return attention;
}

// Mosaic's own class heeds expansion_ratio, transformers' always has 4 times the hidden size.
uint32_t default_width(Config& c, uint32_t hidden) {
  const uint32_t ratio = c.count({"expansion_ratio", ""}, 1, 64, 4);
  for (const char* root : {"transformer.", ""}) {
    const TensorView* up = c.gguf() ? nullptr : c.source().find_tensor(std::string(root) + "blocks.0.ffn.up_proj.weight");
    if (up != nullptr && up->shape == Shape{uint64_t{4} * hidden, hidden}) return 4 * hidden;
  }
  return ratio * hidden;
}

void read(Config& c, ModelSpec& spec) {
  Common common{.layers = {"n_layers", "block_count"},
                .hidden = {"d_model", "embedding_length"},
                .heads = {"n_heads", "attention.head_count"},
                .kv_heads = {"", "attention.head_count_kv"},
                .head_dim = {"", "attention.key_length"},
                .width = {"", "feed_forward_length"},
                .context = {"max_seq_len", "context_length"},
                .eps = {"layer_norm_epsilon", "attention.layer_norm_epsilon"},
                .activation = {},
                .default_activation = "gelu",
                .default_eps = 1e-5,
                .default_tied = true};
  common.default_width = default_width(c, c.count(common.hidden, 1, kMaxHidden));
  read_common(c, spec, common);
  spec.norm.kind = ops::NormKind::kLayer;
  spec.norm.bias = c.has_tensor("output_norm.bias");
  spec.learned_positions = c.has_tensor("position_embd.weight");
  const Attention attention = read_attention(c);
  const bool qk_norm = c.has_tensor("blk.0.attn_q_norm.weight");
  for (LayerSpec& layer : spec.layers) {
    AttentionSpec& a = layer.attention;
    a.alibi = static_cast<float>(attention.alibi);
    a.clamp = static_cast<float>(attention.clamp);
    if (attention.scale != 0) a.scale = static_cast<float>(attention.scale);
    if (qk_norm) {
      a.qk_norm = ops::QkNorm::kFull;
      a.qk_norm_kind = ops::NormKind::kLayer;
      a.qk_norm_bias = c.has_tensor("blk.0.attn_q_norm.bias");
    }
    layer.ffn.gated = false;
    if (c.gguf()) layer.ffn.activation = ops::Activation::kGeluTanh;
  }
}

void adapt(const ModelSpec&, bool gguf, TensorLayout& layout) {
  if (gguf) {
    layout.scaled_ffn = false;
    return;
  }
  layout.names = {.embedding = "wte",
                  .final_norm = "norm_f",
                  .layer = "blocks.",
                  .pre_attention = "norm_1",
                  .pre_ffn = "norm_2",
                  .q = "",
                  .k = "",
                  .v = "",
                  .qkv = "attn.Wqkv",
                  .attention_output = "attn.out_proj",
                  .gate = "",
                  .up = "ffn.up_proj",
                  .down = "ffn.down_proj"};
}

}  // namespace

const Architecture kMpt{"mpt", kNames, kNames, read, adapt};

}  // namespace lahar::arch
