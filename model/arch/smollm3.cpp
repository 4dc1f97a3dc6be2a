// SmolLM 3: Llama, with every fourth layer without positions (NoPE).
#include <nlohmann/json.hpp>

#include "arch/common.h"

namespace lahar::arch {

namespace {

constexpr std::string_view kNames[] = {"smollm3"};

// no_rope_layers: one number a layer, 1 where positions are rotated; else the interval says.
bool rotates(Config& c, uint32_t layer) {
  const Key key{"no_rope_layers", ""};
  if (!c.gguf() && c.has(key)) {
    const nlohmann::json& list = c.json()["no_rope_layers"];
    if (list.is_array() && layer < list.size() && (list[layer].is_number_integer() || list[layer].is_boolean()))
      return list[layer].is_boolean() ? list[layer].get<bool>() : list[layer].get<int64_t>() != 0;
    c.fail_key(key, "expected a list with one number a layer");
  }
  return (layer + 1) % c.count({"no_rope_layer_interval", ""}, 1, UINT32_MAX, 4) != 0;
}

void read(Config& c, ModelSpec& spec) {
  read_common(c, spec, {.default_kv_heads = c.gguf() ? 0u : 4u, .default_context = 32768, .default_tied = true});
  const int32_t rope = add_rope(c, spec, {.default_base = c.gguf() ? 10000.0 : 2000000.0, .gguf_interleaved = true});
  read_attention_bias(c, spec);
  const bool mlp_bias = !c.gguf() && c.flag({"mlp_bias", ""}, false);
  // The list of types says which layers slide, the flag only what becomes of a missing list.
  const bool slides = !c.gguf() && c.flag({"use_sliding_window", ""}, false);
  const uint32_t window = c.gguf() ? 0 : read_window(c, 0);
  for (uint32_t i = 0; i < spec.layers.size() && c.status().ok(); ++i) {
    LayerSpec& layer = spec.layers[i];
    const bool positions = rotates(c, i);
    layer.attention.rope = positions ? rope : -1;
    if (window != 0 && c.sliding_layer(i, slides && !positions)) layer.attention.window = window;
    layer.ffn.up_bias = layer.ffn.down_bias = mlp_bias;
  }
}

void adapt(const ModelSpec&, bool, TensorLayout& layout) { layout.scaled_ffn = false; }

}  // namespace

const Architecture kSmolLm3{"smollm3", kNames, kNames, read, adapt};

}  // namespace lahar::arch
