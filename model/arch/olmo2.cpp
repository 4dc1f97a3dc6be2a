// OLMo 2: no norms before the blocks but after them, and RMSNorm over all heads of q and of k together. GGUF files of OLMo 3
// say olmo2 too: three sliding layers, whose RoPE is not scaled, to a full one.
#include "arch/common.h"

namespace lahar::arch {

namespace {

constexpr std::string_view kNames[] = {"olmo2"};

void read(Config& c, ModelSpec& spec) {
  read_common(c, spec, {.default_eps = 1e-5});
  use_one_rope(c, spec);
  read_attention_bias(c, spec);
  const uint32_t window = c.gguf() ? read_window(c, 0) : 0;
  const Key pattern{"", "attention.sliding_window_pattern"};
  const GgufArray* list = c.gguf() ? c.source().gguf()->metadata().array("olmo2.attention.sliding_window_pattern") : nullptr;
  const uint32_t period = window != 0 && list == nullptr ? c.count(pattern, 1, UINT32_MAX, 4) : 4;
  const int32_t local = window == 0 ? -1 : add_rope(c, spec, {.plain = true});
  for (uint32_t i = 0; i < spec.layers.size(); ++i) {
    LayerSpec& layer = spec.layers[i];
    layer.pre_attention_norm = layer.pre_ffn_norm = false;
    layer.post_attention_norm = layer.post_ffn_norm = true;
    layer.attention.qk_norm = ops::QkNorm::kFull;
    if (window == 0) continue;
    if (list != nullptr && (i >= list->count || list->element == GgufType::kString)) {
      c.fail_key(pattern, "expected one boolean a layer");
      return;
    }
    if (list != nullptr ? list->integer(i) != 0 : (i + 1) % period != 0) {
      layer.attention.window = window;
      layer.attention.rope = local;
    }
  }
}

void adapt(const ModelSpec&, bool gguf, TensorLayout& layout) {
  if (gguf) {
    layout.scaled_ffn = false;
    return;
  }
  layout.names.post_attention = "post_attention_layernorm";
  layout.names.post_ffn = "post_feedforward_layernorm";
}

}  // namespace

const Architecture kOlmo2{"olmo2", kNames, kNames, read, adapt};

}  // namespace lahar::arch
