// GLM-4 9B (glm) and 0414 (glm4, with norms after its blocks too): gate and up in one tensor, RoPE on neighbouring dims of
// half the head, biases on q, k and v.
#include "arch/common.h"

namespace lahar::arch {

namespace {

constexpr std::string_view kGguf[] = {"glm4"}, kHf[] = {"glm4"}, kHfPlain[] = {"glm"};

void read_plain(Config& c, ModelSpec& spec) {
  read_common(c, spec,
              {.default_kv_heads = c.gguf() ? 0u : 2u,
               .default_head_dim = 128,
               .default_context = 131072,
               .default_eps = 1.5625e-7});
  use_one_rope(c, spec, {.interleaved = true, .partial = true, .default_part = 0.5});
  const bool bias = !c.gguf() && c.flag({"attention_bias", ""}, true);
  for (LayerSpec& layer : spec.layers) layer.attention.qkv_bias = bias;
}

void read(Config& c, ModelSpec& spec) {
  read_plain(c, spec);
  for (LayerSpec& layer : spec.layers) layer.post_attention_norm = layer.post_ffn_norm = true;
}

void adapt(const ModelSpec&, bool gguf, TensorLayout& layout) {
  layout.scaled_ffn = false;
  if (gguf) {
    layout.names.gate_up = "ffn_up";
    return;
  }
  layout.names.post_attention = "post_self_attn_layernorm";
  layout.names.post_ffn = "post_mlp_layernorm";
  layout.names.gate_up = "mlp.gate_up_proj";
}

}  // namespace

const Architecture kGlm4{"glm4", kGguf, kHf, read, adapt};
const Architecture kGlm{"glm", {}, kHfPlain, read_plain, adapt};

}  // namespace lahar::arch
