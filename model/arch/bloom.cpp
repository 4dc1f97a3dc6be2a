// BLOOM: ALiBi, a LayerNorm behind the embedding, biases everywhere. In Hugging Face files q, k and v of a head lie
// together.
#include "arch/common.h"

namespace lahar::arch {

namespace {

constexpr std::string_view kNames[] = {"bloom"};

void read(Config& c, ModelSpec& spec) {
  // Early files have GPT-2's names.
  const auto either = [&c](std::string_view name, std::string_view early) {
    return c.has({name, ""}) || !c.has({early, ""}) ? name : early;
  };
  Common common{.layers = {either("n_layer", "num_hidden_layers"), "block_count"},
                .hidden = {either("hidden_size", "n_embed"), "embedding_length"},
                .heads = {either("n_head", "num_attention_heads"), "attention.head_count"},
                .kv_heads = {"", "attention.head_count_kv"},
                .head_dim = {"", "attention.key_length"},
                .width = {"", "feed_forward_length"},
                .context = {"seq_length", "context_length"},
                .eps = {"layer_norm_epsilon", "attention.layer_norm_epsilon"},
                .activation = {},
                .default_activation = "gelu_pytorch_tanh",
                .default_eps = 1e-5,
                .default_tied = true};
  common.default_width = 4 * c.count(common.hidden, 1, kMaxHidden);
  read_common(c, spec, common);
  if (c.flag({"apply_residual_connection_post_layernorm", ""}, false))
    c.fail(ErrorCode::kUnsupported, "config.json: apply_residual_connection_post_layernorm is not supported");
  spec.norm.kind = ops::NormKind::kLayer;
  spec.norm.bias = true;
  spec.embedding_norm = true;
  for (LayerSpec& layer : spec.layers) {
    layer.attention.alibi = 8;
    layer.attention.qkv_bias = layer.attention.output_bias = true;
    layer.ffn.gated = false;
    layer.ffn.activation = ops::Activation::kGeluTanh;
    layer.ffn.up_bias = layer.ffn.down_bias = true;
  }
}

void adapt(const ModelSpec&, bool gguf, TensorLayout& layout) {
  if (gguf) {
    layout.scaled_ffn = false;
    return;
  }
  layout.fused_qkv = FusedQkv::kGroups;
  layout.names = {.embedding = "word_embeddings",
                  .embedding_norm = "word_embeddings_layernorm",
                  .final_norm = "ln_f",
                  .layer = "h.",
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

const Architecture kBloom{"bloom", kNames, kNames, read, adapt};

}  // namespace lahar::arch
