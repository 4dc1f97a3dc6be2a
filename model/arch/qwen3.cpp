// Qwen 3, dense: RMSNorm on every head of q and k.
#include "arch/common.h"

namespace lahar::arch {

namespace {

constexpr std::string_view kNames[] = {"qwen3"};

void read(Config& c, ModelSpec& spec) {
  read_common(c, spec, {.default_kv_heads = c.gguf() ? 0u : 32u, .default_head_dim = 128, .default_context = 32768});
  use_one_rope(c, spec);
  read_attention_bias(c, spec);
  const bool slides = !c.gguf() && c.flag({"use_sliding_window", ""}, false);
  const uint32_t window = slides ? read_window(c, 4096) : 0;
  const uint32_t first = slides ? c.count({"max_window_layers", ""}, 0, UINT32_MAX, 28) : 0;
  for (uint32_t i = 0; i < spec.layers.size(); ++i) {
    AttentionSpec& a = spec.layers[i].attention;
    a.qk_norm = ops::QkNorm::kPerHead;
    if (slides && c.sliding_layer(i, i >= first)) a.window = window;
  }
}

}  // namespace

const Architecture kQwen3{"qwen3", kNames, kNames, read, nullptr};

}  // namespace lahar::arch
