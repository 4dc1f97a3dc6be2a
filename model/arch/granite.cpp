// Granite, dense: Llama with multipliers on embeddings, attention, residuals and logits.
#include "arch/common.h"

namespace lahar::arch {

namespace {

constexpr std::string_view kNames[] = {"granite"};

void read(Config& c, ModelSpec& spec) {
  read_common(c, spec);
  // GGUF keeps in this key whether positions are rotated at all.
  const bool rotated = !c.gguf() || c.flag({"", "rope.scaling.finetuned"}, true);
  if (rotated) use_one_rope(c, spec, {.gguf_interleaved = true});
  read_attention_bias(c, spec);
  const bool mlp_bias = !c.gguf() && c.flag({"mlp_bias", ""}, false);
  spec.embedding_scale = static_cast<float>(c.number({"embedding_multiplier", "embedding_scale"}, 1e-9, 1e9, 1));
  spec.logit_scale = static_cast<float>(1 / c.number({"logits_scaling", "logit_scale"}, 1e-9, 1e9, 1));
  const auto residual = static_cast<float>(c.number({"residual_multiplier", "residual_scale"}, 1e-9, 1e9, 1));
  for (LayerSpec& layer : spec.layers) {
    const double fallback = c.gguf() ? layer.attention.scale : 1;
    layer.attention.scale = static_cast<float>(c.number({"attention_multiplier", "attention.scale"}, 1e-9, 1e9, fallback));
    layer.residual_multiplier = residual;
    layer.ffn.up_bias = layer.ffn.down_bias = mlp_bias;
  }
}

void adapt(const ModelSpec&, bool, TensorLayout& layout) { layout.scaled_ffn = false; }

}  // namespace

const Architecture kGranite{"granite", kNames, kNames, read, adapt};

}  // namespace lahar::arch
