// StarCoder 2: LayerNorm, biases, a plain GELU feed-forward, a sliding window on every layer.
#include "arch/common.h"

namespace lahar::arch {

namespace {

constexpr std::string_view kNames[] = {"starcoder2"};

void read(Config& c, ModelSpec& spec) {
  read_common(c, spec,
              {.eps = {"norm_epsilon", "attention.layer_norm_epsilon"},
               .default_activation = "gelu_pytorch_tanh",
               .default_kv_heads = c.gguf() ? 0u : 2u,
               .default_context = 4096,
               .default_eps = 1e-5,
               .default_tied = true});
  use_one_rope(c, spec);
  spec.norm.kind = ops::NormKind::kLayer;
  spec.norm.bias = true;
  const bool bias = c.flag({"use_bias", ""}, true);
  const uint32_t window = read_window(c, 0);
  for (LayerSpec& layer : spec.layers) {
    layer.attention.qkv_bias = layer.attention.output_bias = layer.ffn.up_bias = layer.ffn.down_bias = bias;
    layer.attention.window = window;
    layer.ffn.gated = false;
    if (c.gguf()) layer.ffn.activation = ops::Activation::kGeluTanh;
  }
}

void adapt(const ModelSpec&, bool gguf, TensorLayout& layout) {
  if (gguf) {
    layout.scaled_ffn = false;
    return;
  }
  layout.names.gate = "";
  layout.names.up = "mlp.c_fc";
  layout.names.down = "mlp.c_proj";
}

}  // namespace

const Architecture kStarcoder2{"starcoder2", kNames, kNames, read, adapt};

}  // namespace lahar::arch
