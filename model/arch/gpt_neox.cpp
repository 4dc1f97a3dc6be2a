// GPT-NeoX and Pythia: LayerNorm and biases everywhere, attention and feed-forward in parallel behind a norm each, RoPE on
// a quarter of the head. In Hugging Face files q, k and v of a head lie together.
#include "arch/common.h"

namespace lahar::arch {

namespace {

constexpr std::string_view kGguf[] = {"gptneox"}, kHf[] = {"gpt_neox"};

void read(Config& c, ModelSpec& spec) {
  read_common(c, spec,
              {.kv_heads = {"", "attention.head_count_kv"},
               .head_dim = {"", "attention.key_length"},
               .eps = {"layer_norm_eps", "attention.layer_norm_epsilon"},
               .default_activation = "gelu",
               .default_context = 2048,
               .default_eps = 1e-5});
  use_one_rope(c, spec, {.partial = true, .default_part = 0.25, .part_key = "rotary_pct", .base_key = "rotary_emb_base"});
  spec.norm.kind = ops::NormKind::kLayer;
  spec.norm.bias = true;
  const bool parallel = c.flag({"use_parallel_residual", "use_parallel_residual"}, true);
  const bool bias = c.flag({"attention_bias", ""}, true);
  for (LayerSpec& layer : spec.layers) {
    layer.parallel = parallel;
    layer.attention.qkv_bias = layer.attention.output_bias = bias;
    layer.ffn.gated = false;
    layer.ffn.up_bias = layer.ffn.down_bias = true;
    if (c.gguf()) layer.ffn.activation = ops::Activation::kGeluTanh;
  }
}

void adapt(const ModelSpec&, bool gguf, TensorLayout& layout) {
  if (gguf) {
    layout.scaled_ffn = false;
    return;
  }
  layout.fused_qkv = FusedQkv::kGroups;
  layout.names = {.embedding = "embed_in",
                  .final_norm = "final_layer_norm",
                  .head = "embed_out",
                  .q = "",
                  .k = "",
                  .v = "",
                  .qkv = "attention.query_key_value",
                  .attention_output = "attention.dense",
                  .gate = "",
                  .up = "mlp.dense_h_to_4h",
                  .down = "mlp.dense_4h_to_h"};
}

}  // namespace

const Architecture kGptNeox{"gpt_neox", kGguf, kHf, read, adapt};

}  // namespace lahar::arch
