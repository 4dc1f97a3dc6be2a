// Command R (cohere) and Command R7B and A (cohere2): LayerNorm without biases, attention and feed-forward in parallel
// behind one norm, RoPE on neighbouring dims, logits scaled. cohere2 has three sliding layers to a full one, which has no
// RoPE.
#include "arch/common.h"

namespace lahar::arch {

namespace {

constexpr std::string_view kGguf[] = {"command-r"}, kHf[] = {"cohere"}, kNames2[] = {"cohere2"};

int32_t read_parallel(Config& c, ModelSpec& spec, double base) {
  read_common(c, spec,
              {.eps = {"layer_norm_eps", "attention.layer_norm_epsilon"},
               .default_context = 8192,
               .default_eps = 1e-5,
               .default_tied = true});
  const int32_t rope = add_rope(c, spec, {.default_base = base, .interleaved = true});
  read_attention_bias(c, spec);
  spec.norm.kind = ops::NormKind::kLayer;
  spec.qk_norm_eps = spec.norm.eps;
  spec.logit_scale = static_cast<float>(c.number({"logit_scale", "logit_scale"}, 1e-9, 1e9, c.gguf() ? 1 : 0.0625));
  for (LayerSpec& layer : spec.layers) {
    layer.parallel = layer.shared_norm = true;
    layer.pre_ffn_norm = false;
  }
  return rope;
}

void read(Config& c, ModelSpec& spec) {
  const int32_t rope = read_parallel(c, spec, c.gguf() ? 1e4 : 5e5);
  const bool qk_norm = c.gguf() ? c.has_tensor("blk.0.attn_q_norm.weight") : c.flag({"use_qk_norm", ""}, false);
  for (LayerSpec& layer : spec.layers) {
    layer.attention.rope = rope;
    if (!qk_norm) continue;
    layer.attention.qk_norm = ops::QkNorm::kEachHead;
    layer.attention.qk_norm_kind = ops::NormKind::kLayer;
  }
}

void read2(Config& c, ModelSpec& spec) {
  const int32_t rope = read_parallel(c, spec, 1e4);
  const uint32_t window = read_window(c, c.gguf() ? 0 : 4096);
  for (uint32_t i = 0; i < spec.layers.size() && c.status().ok(); ++i) {
    AttentionSpec& a = spec.layers[i].attention;
    const bool sliding = sliding_by_pattern(c, i, 4);
    if (window != 0 && sliding) a.window = window;
    if (sliding) a.rope = rope;
  }
}

void adapt(const ModelSpec&, bool gguf, TensorLayout& layout) {
  if (!gguf) return;
  layout.names.pre_ffn = "";
}

}  // namespace

const Architecture kCohere{"cohere", kGguf, kHf, read, adapt};
const Architecture kCohere2{"cohere2", kNames2, kNames2, read2, adapt};

}  // namespace lahar::arch
