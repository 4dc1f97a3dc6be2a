// Falcon in its three shapes: 7B (one KV head, attention and feed-forward in parallel behind one norm), 40B and later
// ("new decoder": KV groups, one or two norms), and RW (multi-head, sequential, ALiBi whose slopes are scaled as scores are;
// transformers rounds them and their products with positions to bf16, which is not done here).
#include "arch/common.h"

namespace lahar::arch {

namespace {

constexpr std::string_view kGguf[] = {"falcon"}, kHf[] = {"falcon", "RefinedWeb", "RefinedWebModel"};

// Early files use GPT-2's short names.
std::string_view either(const Config& c, std::string_view name, std::string_view early) {
  return c.has({name, ""}) || !c.has({early, ""}) ? name : early;
}

void read(Config& c, ModelSpec& spec) {
  Common common{.layers = {either(c, "num_hidden_layers", "n_layer"), "block_count"},
                .heads = {either(c, "num_attention_heads", "n_head"), "attention.head_count"},
                .kv_heads = {either(c, "num_kv_heads", "n_head_kv"), "attention.head_count_kv"},
                .width = {"ffn_hidden_size", "feed_forward_length"},
                .eps = {"layer_norm_epsilon", "attention.layer_norm_epsilon"},
                .activation = {"activation", ""},
                .default_activation = "gelu",
                .default_eps = 1e-5,
                .default_tied = true};
  common.default_width = 4 * c.count(common.hidden, 1, kMaxHidden);
  // RefinedWeb's files of 40B have groups without the word for them.
  const bool new_decoder = c.flag({"new_decoder_architecture", ""}, c.has({"n_head_kv", ""}));
  if (!c.gguf() && !new_decoder) {
    // num_kv_heads is in the file all the same, and means nothing: one, or as many as heads.
    common.kv_heads = {};
    common.default_kv_heads = c.flag({"multi_query", ""}, true) ? 1 : 0;
  }
  read_common(c, spec, common);
  const bool alibi = c.flag({"alibi", ""}, false);
  if (!alibi) use_one_rope(c, spec);
  spec.norm.kind = ops::NormKind::kLayer;
  spec.norm.bias = true;

  const bool bias = c.flag({"bias", ""}, false);
  const bool parallel = new_decoder || c.gguf() || c.flag({"parallel_attn", ""}, true);
  const bool two_norms = c.gguf() ? c.has_tensor("blk.0.attn_norm_2.weight")
                                  : new_decoder && c.count({"num_ln_in_parallel_attn", ""}, 1, 2, 2) == 2;
  for (LayerSpec& layer : spec.layers) {
    layer.parallel = parallel;
    layer.shared_norm = parallel && !two_norms;
    layer.pre_ffn_norm = !layer.shared_norm;
    layer.ffn.gated = false;
    if (alibi) layer.attention.alibi = 8, layer.attention.alibi_scaled = true;
    layer.attention.qkv_bias = layer.attention.output_bias = layer.ffn.up_bias = layer.ffn.down_bias = bias;
    // What GGUF's runtimes compute; the checkpoints were trained with the exact form.
    if (c.gguf()) layer.ffn.activation = ops::Activation::kGeluTanh;
  }
}

void adapt(const ModelSpec& spec, bool gguf, TensorLayout& layout) {
  const LayerSpec& layer = spec.layers[0];
  const bool two_norms = layer.parallel && !layer.shared_norm;
  if (gguf) {
    layout.scaled_ffn = false;
    if (two_norms) {
      layout.names.pre_attention = "attn_norm_2";
      layout.names.pre_ffn = "attn_norm";
    }
    return;
  }
  layout.fused_qkv = FusedQkv::kGroups;
  layout.names = {.embedding = "word_embeddings",
                  .final_norm = "ln_f",
                  .layer = "h.",
                  .pre_attention = two_norms ? "ln_attn" : "input_layernorm",
                  .pre_ffn = two_norms ? "ln_mlp" : "post_attention_layernorm",
                  .q = "",
                  .k = "",
                  .v = "",
                  .qkv = "self_attention.query_key_value",
                  .attention_output = "self_attention.dense",
                  .gate = "",
                  .up = "mlp.dense_h_to_4h",
                  .down = "mlp.dense_4h_to_h"};
}

}  // namespace

const Architecture kFalcon{"falcon", kGguf, kHf, read, adapt};

}  // namespace lahar::arch
