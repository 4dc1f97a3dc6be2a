// Seed-OSS: Llama with biases on q, k and v.
#include "arch/common.h"

namespace lahar::arch {

namespace {

constexpr std::string_view kNames[] = {"seed_oss"};

void read(Config& c, ModelSpec& spec) {
  read_common(c, spec, {.default_kv_heads = c.gguf() ? 0u : 8u, .default_head_dim = 128, .default_context = 524288});
  use_one_rope(c, spec);
  const bool bias = !c.gguf() && c.flag({"attention_bias", ""}, true);
  const bool output_bias = !c.gguf() && c.flag({"attention_out_bias", ""}, false);
  const bool mlp_bias = !c.gguf() && c.flag({"mlp_bias", ""}, false);
  for (LayerSpec& layer : spec.layers) {
    layer.attention.qkv_bias = bias;
    layer.attention.output_bias = output_bias;
    layer.ffn.up_bias = layer.ffn.down_bias = mlp_bias;
  }
}

void adapt(const ModelSpec&, bool gguf, TensorLayout& layout) {
  layout.scaled_ffn = false;
  if (gguf) layout.names.pre_ffn = "post_attention_norm";
}

}  // namespace

const Architecture kSeedOss{"seed_oss", kNames, kNames, read, adapt};

}  // namespace lahar::arch
