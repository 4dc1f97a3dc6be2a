// Llama 1 to 3, and the many models that are converted to it, in GGUF with experts too (Mixtral).
#include "arch/experts.h"

namespace lahar::arch {

namespace {

constexpr std::string_view kGguf[] = {"llama"}, kHf[] = {"llama"};

void read(Config& c, ModelSpec& spec) {
  read_common(c, spec);
  use_one_rope(c, spec, {.gguf_interleaved = true});
  read_attention_bias(c, spec);
  const bool mlp_bias = !c.gguf() && c.flag({"mlp_bias", ""}, false);
  // GGUF files of Mistral's models say llama too.
  const uint32_t window = c.gguf() ? read_window(c, 0) : 0;
  const double scale = c.gguf() ? c.number({"", "attention.scale"}, 1e-9, 1e9, 0) : 0;
  for (LayerSpec& layer : spec.layers) {
    layer.ffn.up_bias = layer.ffn.down_bias = mlp_bias;
    layer.attention.window = window;
    if (scale != 0) layer.attention.scale = static_cast<float>(scale);
  }
  if (!c.gguf() || c.count({"", "expert_count"}, 0, UINT32_MAX, 0) == 0) return;
  MoeSpec moe = read_moe(c, spec, {});
  moe.normalize = true;
  for (LayerSpec& layer : spec.layers) use_experts(layer, moe);
}

LayerRoles roles(const ModelSpec& spec, uint32_t layer, const ModelSource& source) {
  return expert_layer_roles(spec, layer, source, {.gguf_scaled = true});
}

}  // namespace

const Architecture kLlama{"llama", kGguf, kHf, read, nullptr, roles};

}  // namespace lahar::arch
