// ERNIE 4.5, dense: Llama with RoPE on neighbouring dims.
#include "arch/common.h"

namespace lahar::arch {

namespace {

constexpr std::string_view kNames[] = {"ernie4_5"};

void read(Config& c, ModelSpec& spec) {
  read_common(c, spec,
              {.default_kv_heads = c.gguf() ? 0u : 2u,
               .default_head_dim = 128,
               .default_context = 131072,
               .default_eps = 1e-5,
               .default_tied = true});
  use_one_rope(c, spec, {.default_base = c.gguf() ? 10000.0 : 500000.0, .interleaved = true});
  const bool bias = !c.gguf() && c.flag({"use_bias", ""}, false);
  for (LayerSpec& layer : spec.layers)
    layer.attention.qkv_bias = layer.attention.output_bias = layer.ffn.up_bias = layer.ffn.down_bias = bias;
}

void adapt(const ModelSpec&, bool, TensorLayout& layout) { layout.scaled_ffn = layout.gguf_output_bias = false; }

}  // namespace

const Architecture kErnie45{"ernie4_5", kNames, kNames, read, adapt};

}  // namespace lahar::arch
