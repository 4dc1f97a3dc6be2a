// Hunyuan, dense: Llama with RMSNorm on every head of q and k after RoPE, whose base is grown once (dynamic NTK by alpha).
#include "arch/common.h"

namespace lahar::arch {

namespace {

constexpr std::string_view kGguf[] = {"hunyuan-dense"}, kHf[] = {"hunyuan_v1_dense"};

void read(Config& c, ModelSpec& spec) {
  read_common(c, spec, {.default_eps = 1e-5});
  use_one_rope(c, spec);
  read_attention_bias(c, spec);
  for (LayerSpec& layer : spec.layers) {
    layer.attention.qk_norm = ops::QkNorm::kPerHead;
    layer.attention.qk_norm_after_rope = true;
  }
}

void adapt(const ModelSpec&, bool gguf, TensorLayout& layout) {
  layout.scaled_ffn = false;
  if (gguf) return;
  layout.names.q_norm = "self_attn.query_layernorm";
  layout.names.k_norm = "self_attn.key_layernorm";
}

}  // namespace

const Architecture kHunyuan{"hunyuan", kGguf, kHf, read, adapt};

}  // namespace lahar::arch
