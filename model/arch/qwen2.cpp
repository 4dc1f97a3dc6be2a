// Qwen 2 and 2.5: biases on q, k and v; a sliding window on the layers above max_window_layers where it is switched on.
#include "arch/common.h"

namespace lahar::arch {

namespace {

constexpr std::string_view kNames[] = {"qwen2"};

void read(Config& c, ModelSpec& spec) {
  read_common(c, spec, {.default_kv_heads = c.gguf() ? 0u : 32u, .default_context = 32768});
  use_one_rope(c, spec);
  const bool slides = !c.gguf() && c.flag({"use_sliding_window", ""}, false);
  const uint32_t window = slides ? read_window(c, 4096) : 0;
  const uint32_t first = slides ? c.count({"max_window_layers", ""}, 0, UINT32_MAX, 28) : 0;
  for (uint32_t i = 0; i < spec.layers.size(); ++i) {
    AttentionSpec& a = spec.layers[i].attention;
    a.qkv_bias = true;
    if (slides && c.sliding_layer(i, i >= first)) a.window = window;
  }
}

void adapt(const ModelSpec&, bool, TensorLayout& layout) { layout.scaled_ffn = false; }

}  // namespace

const Architecture kQwen2{"qwen2", kNames, kNames, read, adapt};

}  // namespace lahar::arch
