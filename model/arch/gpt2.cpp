// GPT-2: learned positions, LayerNorm, biases everywhere. In Hugging Face files the matrices are stored transposed.
#include <cmath>

#include "arch/common.h"

namespace lahar::arch {

namespace {

constexpr std::string_view kNames[] = {"gpt2"};

void read(Config& c, ModelSpec& spec) {
  Common common{.layers = {"n_layer", "block_count"},
                .hidden = {"n_embd", "embedding_length"},
                .heads = {"n_head", "attention.head_count"},
                .kv_heads = {"", "attention.head_count_kv"},
                .head_dim = {"", "attention.key_length"},
                .width = {"n_inner", "feed_forward_length"},
                .context = {"n_positions", "context_length"},
                .eps = {"layer_norm_epsilon", "attention.layer_norm_epsilon"},
                .activation = {"activation_function", ""},
                .default_activation = "gelu_new",
                .default_context = 1024,
                .default_eps = 1e-5,
                .default_tied = true};
  common.default_width = 4 * c.count(common.hidden, 1, kMaxHidden);
  read_common(c, spec, common);
  spec.norm.kind = ops::NormKind::kLayer;
  spec.norm.bias = true;
  spec.learned_positions = true;
  const bool scaled = c.flag({"scale_attn_weights", ""}, true);
  const bool by_layer = c.flag({"scale_attn_by_inverse_layer_idx", ""}, false);
  for (uint32_t i = 0; i < spec.layers.size(); ++i) {
    LayerSpec& layer = spec.layers[i];
    if (!scaled) layer.attention.scale = 1;
    if (by_layer) layer.attention.scale /= static_cast<float>(i + 1);
    layer.attention.qkv_bias = layer.attention.output_bias = true;
    layer.ffn.gated = false;
    layer.ffn.up_bias = layer.ffn.down_bias = true;
    if (c.gguf()) layer.ffn.activation = ops::Activation::kGeluTanh;
  }
}

void adapt(const ModelSpec&, bool gguf, TensorLayout& layout) {
  if (gguf) {
    layout.scaled_ffn = false;
    return;
  }
  layout.transposed = true;
  layout.names = {.embedding = "wte",
                  .positions = "wpe",
                  .final_norm = "ln_f",
                  .layer = "h.",
                  .pre_attention = "ln_1",
                  .pre_ffn = "ln_2",
                  .q = "",
                  .k = "",
                  .v = "",
                  .qkv = "attn.c_attn",
                  .attention_output = "attn.c_proj",
                  .gate = "",
                  .up = "mlp.c_fc",
                  .down = "mlp.c_proj"};
}

}  // namespace

const Architecture kGpt2{"gpt2", kNames, kNames, read, adapt};

}  // namespace lahar::arch
