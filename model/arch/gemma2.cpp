// Gemma 2: norms before and after each block, soft caps, every other layer with a sliding window, embeddings scaled by
// sqrt(hidden). Norm weights are stored as an offset from 1 in Hugging Face files, whole in GGUF.
#include <cmath>

#include "arch/common.h"

namespace lahar::arch {

namespace {

constexpr std::string_view kNames[] = {"gemma2"};

void read(Config& c, ModelSpec& spec) {
  read_common(c, spec,
              {.activation = {"hidden_activation", ""},
               .default_activation = "gelu_pytorch_tanh",
               .default_kv_heads = c.gguf() ? 0u : 4u,
               .default_head_dim = 256,
               .default_context = 8192,
               .default_tied = true});
  use_one_rope(c, spec);
  read_attention_bias(c, spec);
  if (c.flag({"use_bidirectional_attention", ""}, false))
    c.fail(ErrorCode::kUnsupported, "config.json: use_bidirectional_attention is not supported");
  spec.embedding_scale = std::sqrt(static_cast<float>(spec.hidden));
  // null switches a cap off; a missing key means the default.
  const auto cap = [&c](Key key, double fallback) {
    if (c.is_null(key)) return 0.0f;
    return static_cast<float>(c.number(key, 1e-6, 1e9, fallback));
  };
  const float softcap = cap({"attn_logit_softcapping", "attn_logit_softcapping"}, 50);
  spec.logit_softcap = cap({"final_logit_softcapping", "final_logit_softcapping"}, 30);
  const uint32_t window = read_window(c, 4096);
  for (uint32_t i = 0; i < spec.layers.size(); ++i) {
    LayerSpec& layer = spec.layers[i];
    AttentionSpec& a = layer.attention;
    layer.post_attention_norm = layer.post_ffn_norm = true;
    layer.ffn.activation = c.gguf() ? ops::Activation::kGeluTanh : layer.ffn.activation;
    a.softcap = softcap;
    // GGUF does not keep query_pre_attn_scalar; of the published sizes only the 27 B (46 layers) has one of its own.
    double scalar = c.number({"query_pre_attn_scalar", ""}, 1e-6, 1e9, c.gguf() ? a.head_dim : 256);
    if (c.gguf() && spec.layers.size() == 46) scalar = static_cast<double>(spec.hidden) / a.heads;
    a.scale = static_cast<float>(1 / std::sqrt(scalar));
    if (c.sliding_layer(i, i % 2 == 0)) a.window = window;
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

const Architecture kGemma2{"gemma2", kNames, kNames, read, adapt};

}  // namespace lahar::arch
