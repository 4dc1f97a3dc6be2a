// EXAONE 4: RMSNorm on every head of q and k, norms after the blocks alone. The 32 B has three sliding layers to a full one,
// which has no RoPE.
#include "arch/common.h"

namespace lahar::arch {

namespace {

constexpr std::string_view kNames[] = {"exaone4"};

void read(Config& c, ModelSpec& spec) {
  read_common(c, spec, {.default_kv_heads = c.gguf() ? 0u : 32u, .default_eps = 1e-5});
  const int32_t rope = add_rope(c, spec);
  // GGUF: sliding layers by the number of layers, where the window is not said.
  const uint32_t window = read_window(c, c.gguf() ? (spec.layers.size() == 64 ? 4096 : 0) : 4096);
  for (uint32_t i = 0; i < spec.layers.size() && c.status().ok(); ++i) {
    LayerSpec& layer = spec.layers[i];
    layer.pre_attention_norm = layer.pre_ffn_norm = false;
    layer.post_attention_norm = layer.post_ffn_norm = true;
    layer.attention.qk_norm = ops::QkNorm::kPerHead;
    const bool sliding = window != 0 && sliding_by_pattern(c, i, 4);
    if (sliding) layer.attention.window = window;
    if (sliding || window == 0) layer.attention.rope = rope;
  }
}

void adapt(const ModelSpec&, bool gguf, TensorLayout& layout) {
  layout.scaled_ffn = false;
  if (gguf) return;
  layout.names.post_attention = "post_attention_layernorm";
  layout.names.post_ffn = "post_feedforward_layernorm";
}

}  // namespace

const Architecture kExaone4{"exaone4", kNames, kNames, read, adapt};

}  // namespace lahar::arch
