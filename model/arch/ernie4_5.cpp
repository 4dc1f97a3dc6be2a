// ERNIE 4.5: Llama with RoPE on neighbouring dims; with experts too: softmax scores with a bias for the choice, shared
// experts, dense layers in between.
#include "arch/experts.h"

namespace lahar::arch {

namespace {

constexpr std::string_view kNames[] = {"ernie4_5"};
constexpr std::string_view kMoeGguf[] = {"ernie4_5-moe"}, kMoeHf[] = {"ernie4_5_moe"};

// What both have. True where the linear layers have biases.
bool read_layers(Config& c, ModelSpec& spec, uint32_t default_kv_heads, uint32_t default_head_dim) {
  read_common(c, spec,
              {.default_kv_heads = c.gguf() ? 0 : default_kv_heads,
               .default_head_dim = default_head_dim,
               .default_context = 131072,
               .default_eps = 1e-5,
               .default_tied = true});
  use_one_rope(c, spec, {.default_base = c.gguf() ? 10000.0 : 500000.0, .interleaved = true});
  const bool bias = !c.gguf() && c.flag({"use_bias", ""}, false);
  for (LayerSpec& layer : spec.layers)
    layer.attention.qkv_bias = layer.attention.output_bias = layer.ffn.up_bias = layer.ffn.down_bias = bias;
  return bias;
}

void read(Config& c, ModelSpec& spec) { read_layers(c, spec, 2, 128); }

// Layers from `first` to `last`, every `step`th of all.
struct SparseLayers {
  uint32_t first = 0, last = 0, step = 1;
  bool has(uint32_t layer) const { return layer >= first && layer <= last && (layer + 1) % step == 0; }
};

SparseLayers read_sparse_layers(Config& c, const ModelSpec& spec) {
  SparseLayers sparse;
  const auto layers = static_cast<uint32_t>(spec.layers.size());
  sparse.first = c.count({"moe_layer_start_index", "leading_dense_block_count"}, 0, UINT32_MAX, c.gguf() ? 0 : 1);
  sparse.step = c.count({"moe_layer_interval", "interleave_moe_layer_step"}, 1, UINT32_MAX, 1);
  // -1 stands for the last one.
  const double end = c.number({"moe_layer_end_index", ""}, -1, 1e6, -1);
  sparse.last = end < 0 ? layers : static_cast<uint32_t>(end);
  return sparse;
}

void read_experts(Config& c, ModelSpec& spec) {
  const bool bias = spec.head_bias = read_layers(c, spec, 4, 0);
  const SparseLayers sparse = read_sparse_layers(c, spec);
  uint32_t example = 0;  // a layer with experts
  while (example + 1 < spec.layers.size() && !sparse.has(example)) ++example;
  MoeSpec moe = read_moe(c, spec,
                         {.experts = {"moe_num_experts", "expert_count"},
                          .chosen = {"moe_k", "expert_used_count"},
                          .default_experts = 64,
                          .default_chosen = 6,
                          .default_width = 1536},
                         example);
  moe.normalize = true;
  if (!c.gguf()) moe.selection_bias = true;
  moe.shared_width = c.gguf() ? c.count({"", "expert_shared_feed_forward_length"}, 0, kMaxWidth, 0)
                              : moe.width * c.count({"moe_num_shared_experts", ""}, 0, ops::kMaxExperts, 2);
  moe.shared_bias = bias;
  // Those of the experts themselves are gone where transformers keeps all experts in one tensor.
  moe.up_bias = moe.up_bias || (bias && has_in_layers(c.source(), "mlp.experts.0.up_proj.bias"));
  moe.down_bias = moe.down_bias || (bias && has_in_layers(c.source(), "mlp.experts.0.down_proj.bias"));
  for (uint32_t i = 0; i < spec.layers.size(); ++i)
    if (sparse.has(i)) use_experts(spec.layers[i], moe);
}

void adapt(const ModelSpec&, bool, TensorLayout& layout) { layout.scaled_ffn = layout.gguf_output_bias = false; }

LayerRoles roles(const ModelSpec& spec, uint32_t layer, const ModelSource& source) {
  ExpertNames names = kDeepSeekExperts;
  names.selection_bias = "mlp.moe_statics.e_score_correction_bias";
  constexpr std::string_view kInMemory = "mlp.gate.moe_statics.e_score_correction_bias";
  if (has_in_layers(source, kInMemory)) names.selection_bias = kInMemory;
  return expert_layer_roles(spec, layer, source, names);
}

}  // namespace

const Architecture kErnie45{"ernie4_5", kNames, kNames, read, adapt};
const Architecture kErnie45Moe{"ernie4_5_moe", kMoeGguf, kMoeHf, read_experts, adapt, roles};

}  // namespace lahar::arch
