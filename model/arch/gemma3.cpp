// Gemma 3 (text, and the text half of the multimodal files): as Gemma 2 without soft caps, with q/k norms, five sliding
// layers to a full one, and a RoPE of its own for the sliding ones.
#include <cmath>

#include "arch/common.h"

namespace lahar::arch {

namespace {

constexpr std::string_view kGguf[] = {"gemma3"}, kHf[] = {"gemma3_text", "gemma3"};

void read(Config& c, ModelSpec& spec) {
  // Gemma3TextConfig's; the 4 B's config.json leaves out what equals them.
  const auto of_class = [&](uint32_t size) { return c.gguf() ? 0 : size; };
  read_common(c, spec,
              {.activation = {"hidden_activation", ""},
               .default_activation = "gelu_pytorch_tanh",
               .default_hidden = of_class(2304),
               .default_layers = of_class(26),
               .default_heads = of_class(8),
               .default_kv_heads = of_class(4),
               .default_head_dim = 256,
               .default_context = 131072,
               .default_width = of_class(9216),
               .default_tied = true});
  const int32_t full = add_rope(c, spec, {.default_base = c.gguf() ? 1e4 : 1e6, .layer_type = "full_attention"});
  const int32_t local =
      add_rope(c, spec, {.plain = c.gguf(), .layer_type = "sliding_attention", .gguf_base = {"", "rope.freq_base_swa"}});
  read_attention_bias(c, spec);
  if (c.flag({"use_bidirectional_attention", ""}, false))
    c.fail(ErrorCode::kUnsupported, "config.json: use_bidirectional_attention is not supported");
  spec.embedding_scale = std::sqrt(static_cast<float>(spec.hidden));
  spec.logit_softcap =
      static_cast<float>(c.number({"final_logit_softcapping", "final_logit_softcapping"}, c.gguf() ? 0 : 1e-6, 1e9, 0));
  const uint32_t window = read_window(c, 4096);
  for (uint32_t i = 0; i < spec.layers.size() && c.status().ok(); ++i) {
    LayerSpec& layer = spec.layers[i];
    AttentionSpec& a = layer.attention;
    layer.post_attention_norm = layer.post_ffn_norm = true;
    layer.ffn.activation = c.gguf() ? ops::Activation::kGeluTanh : layer.ffn.activation;
    a.qk_norm = ops::QkNorm::kPerHead;
    double scalar = c.number({"query_pre_attn_scalar", ""}, 1e-6, 1e9, c.gguf() ? a.head_dim : 256);
    // GGUF does not keep query_pre_attn_scalar; of the published sizes only the 27 B (62 layers) has one of its own.
    if (c.gguf() && spec.layers.size() == 62) scalar = static_cast<double>(spec.hidden) / a.heads;
    a.scale = static_cast<float>(1 / std::sqrt(scalar));
    const bool sliding = sliding_by_pattern(c, i, 6);
    a.window = sliding ? window : 0;
    a.rope = sliding ? local : full;
  }
}

void adapt(const ModelSpec&, bool gguf, TensorLayout& layout) {
  if (gguf) {
    layout.scaled_ffn = false;
    return;
  }
  layout.norm_offset = 1;
  layout.names.post_attention = "post_attention_layernorm";
  layout.names.pre_ffn = "pre_feedforward_layernorm";
  layout.names.post_ffn = "post_feedforward_layernorm";
}

}  // namespace

const Architecture kGemma3{"gemma3", kGguf, kHf, read, adapt};

}  // namespace lahar::arch
