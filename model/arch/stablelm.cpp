// StableLM: LayerNorm, RoPE on a quarter of the head; the 12 B has a LayerNorm for each head of q and k, and attention and
// feed-forward in parallel behind one norm.
#include "arch/common.h"

namespace lahar::arch {

namespace {

constexpr std::string_view kGguf[] = {"stablelm"}, kHf[] = {"stablelm", "stablelm_epoch"};

void read(Config& c, ModelSpec& spec) {
  // stablelm_epoch has other names for some.
  read_common(c, spec,
              {.head_dim = {"", "attention.key_length"},
               .eps = {c.has({"norm_eps", ""}) ? "norm_eps" : "layer_norm_eps", "attention.layer_norm_epsilon"},
               .default_kv_heads = c.gguf() ? 0u : 32u,
               .default_context = 4096,
               .default_eps = 1e-5});
  use_one_rope(
      c, spec,
      {.partial = true, .default_part = 0.25, .part_key = c.has({"rope_pct", ""}) ? "rope_pct" : "partial_rotary_factor"});
  spec.norm.kind = ops::NormKind::kLayer;
  spec.norm.bias = true;
  const bool bias = c.flag({"use_qkv_bias", ""}, false);
  const bool qk_norm = c.gguf() ? c.has_tensor("blk.0.attn_q_norm.weight") : c.flag({"qk_layernorm", ""}, false);
  const bool parallel = c.gguf() ? !c.has_tensor("blk.0.ffn_norm.weight") : c.flag({"use_parallel_residual", ""}, false);
  spec.qk_norm_eps = spec.norm.eps;
  for (LayerSpec& layer : spec.layers) {
    layer.parallel = layer.shared_norm = parallel;
    layer.pre_ffn_norm = !parallel;
    layer.attention.qkv_bias = bias;
    if (!qk_norm) continue;
    layer.attention.qk_norm = ops::QkNorm::kEachHead;
    layer.attention.qk_norm_kind = ops::NormKind::kLayer;
  }
}

void adapt(const ModelSpec&, bool gguf, TensorLayout& layout) {
  layout.scaled_ffn = false;
  if (gguf) return;
  layout.names.q_norm = "self_attn.q_layernorm.norms.{}";
  layout.names.k_norm = "self_attn.k_layernorm.norms.{}";
}

}  // namespace

const Architecture kStableLm{"stablelm", kGguf, kHf, read, adapt};

}  // namespace lahar::arch
