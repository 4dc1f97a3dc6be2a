// Gemma 4 (text): Gemma 3's alternation of sliding and full layers, where the full ones have larger heads, fewer KV heads
// and turn only a part of each head; norms on values; values that are keys; last layers that read earlier ones' keys and
// values; inputs of each layer's own; experts beside the dense feed-forward; a factor at the end of each layer.
#include <cmath>
#include <nlohmann/json.hpp>

#include "arch/altup_roles.h"
#include "arch/experts.h"
#include "tensor_values.h"

namespace lahar::arch {

namespace {

constexpr std::string_view kGguf[] = {"gemma4"}, kHf[] = {"gemma4_text", "gemma4"};

bool slides(Config& c, const ModelSpec& spec, uint32_t layer) {
  if (!c.gguf() && layer + 1 == spec.layers.size()) return false;  // whatever the list says
  return sliding_by_pattern(c, layer, 6);
}

// Sizes of a layer's heads; `common` read those of the sliding layers from config.json, of the full ones from a GGUF.
void read_heads(Config& c, AttentionSpec& a, bool sliding) {
  if (c.gguf() && sliding) {
    a.head_dim = c.count({"", "attention.key_length_swa"}, 4, kMaxHeadDim, a.head_dim);
    if (c.count({"", "attention.value_length_swa"}, 1, kMaxHeadDim, a.head_dim) != a.head_dim)
      c.fail(ErrorCode::kUnsupported, "keys and values of different length are not supported");
  }
  if (!c.gguf() && !sliding) {
    a.head_dim = c.count({"global_head_dim", ""}, 4, kMaxHeadDim, c.json().contains("global_head_dim") ? a.head_dim : 512);
    a.keys_as_values = c.flag({"attention_k_eq_v", ""}, false);
    if (a.keys_as_values) a.kv_heads = c.count({"num_global_key_value_heads", ""}, 1, kMaxHeads, a.kv_heads);
  }
  if (a.head_dim % 4 != 0)
    c.fail(ErrorCode::kUnsupported, "a head dim of " + std::to_string(a.head_dim) + " is not supported; multiples of 4 are");
  if (a.heads % a.kv_heads != 0)
    c.fail(ErrorCode::kFormat, "expected a number of KV heads that divides the " + std::to_string(a.heads) +
                                   " heads, found " + std::to_string(a.kv_heads));
}

void read_layer_inputs(Config& c, ModelSpec& spec) {
  LayerInputsSpec& inputs = spec.layer_inputs;
  inputs.width =
      c.count({"hidden_size_per_layer_input", "embedding_length_per_layer_input"}, 0, kMaxWidth, c.gguf() ? 0 : 256);
  inputs.vocabulary = table_rows(c.source(), c.gguf() ? "per_layer_token_embd" : "embed_tokens_per_layer");
  if (inputs.width != 0 && (spec.hidden % 4 != 0 || inputs.width % 4 != 0))
    c.fail(ErrorCode::kUnsupported, "widths of the model and of layers' inputs that are no multiples of 4");
}

// Of the dense feed-forward: where layers share keys and values it may be twice as wide.
void read_width(Config& c, LayerSpec& layer) {
  if (!c.gguf() && layer.attention.kv_source >= 0 && c.flag({"use_double_wide_mlp", ""}, false)) layer.ffn.width *= 2;
}

MoeSpec read_experts(Config& c, const ModelSpec& spec) {
  MoeSpec moe = read_moe(c, spec, {.chosen = {"top_k_experts", "expert_used_count"}});
  moe.normalize = true;
  moe.activation = ops::Activation::kGeluTanh;
  return moe;
}

void read_end_scale(Config& c, LayerSpec& layer, uint32_t index) {
  const std::string name = c.gguf() ? "blk." + std::to_string(index) + ".layer_output_scale.weight"
                                    : "layers." + std::to_string(index) + ".layer_scalar";
  const TensorView* tensor = find_below_roots(c.source(), name);
  if (tensor == nullptr) return;
  const auto value = float_at(*tensor, 0);
  if (!value || tensor->shape.elements() != 1 || !std::isfinite(*value))
    c.fail(ErrorCode::kFormat, "tensor '" + tensor->name + "': expected one finite number");
  layer.end_scale = value.value_or(1);
}

// Returns the index of the layer's RoPE, which the first of its kind adds.
int32_t rope_of(Config& c, ModelSpec& spec, bool sliding, uint32_t head_dim, int32_t& known) {
  if (known >= 0) return known;
  RopeOptions options{.default_base = sliding || c.gguf() ? 1e4 : 1e6,
                      .default_part = sliding ? 1 : 0.25,
                      .plain = c.gguf() && sliding,
                      .layer_type = sliding ? "sliding_attention" : "full_attention",
                      .head_dim = head_dim,
                      .default_type = sliding ? "default" : "proportional"};
  if (sliding) {
    options.gguf_base = {"", "rope.freq_base_swa"};
    options.gguf_dims = {"", "rope.dimension_count_swa"};
  }
  return known = add_rope(c, spec, options);
}

void read(Config& c, ModelSpec& spec) {
  // Gemma4TextConfig's.
  const auto of_class = [&](uint32_t size) { return c.gguf() ? 0 : size; };
  read_common(c, spec,
              {.activation = {"hidden_activation", ""},
               .default_activation = "gelu_pytorch_tanh",
               .default_hidden = of_class(2304),
               .default_layers = of_class(30),
               .default_heads = of_class(8),
               .default_kv_heads = of_class(4),
               .default_head_dim = 256,
               .default_context = 131072,
               .default_width = of_class(9216),
               .default_tied = true});
  read_attention_bias(c, spec);
  read_layer_inputs(c, spec);
  if (spec.layer_inputs.width != 0) check_inputs_activation(c, spec);
  if (c.text({"use_bidirectional_attention", ""}, "") == "all")
    c.fail(ErrorCode::kUnsupported, "config.json: use_bidirectional_attention: 'all' is not supported");
  spec.embedding_scale = std::sqrt(static_cast<float>(spec.hidden));
  spec.logit_softcap = static_cast<float>(c.number({"final_logit_softcapping", "final_logit_softcapping"}, 0, 1e9, 0));
  const uint32_t window = read_window(c, 512);
  const auto layers = static_cast<uint32_t>(spec.layers.size());
  const uint32_t shared =
      layers == 0 ? 0 : c.count({"num_kv_shared_layers", "attention.shared_kv_layers"}, 0, layers - 1, 0);
  const bool experts =
      c.gguf() ? c.count({"", "expert_count"}, 0, UINT32_MAX, 0) > 0 : c.flag({"enable_moe_block", ""}, false);
  const MoeSpec moe = experts && c.status().ok() ? read_experts(c, spec) : MoeSpec{};
  int32_t last[2] = {-1, -1}, ropes[2] = {-1, -1};  // of the full and of the sliding layers
  for (uint32_t i = 0; i < layers && c.status().ok(); ++i) {
    LayerSpec& layer = spec.layers[i];
    AttentionSpec& a = layer.attention;
    const bool sliding = slides(c, spec, i);
    layer.post_attention_norm = layer.post_ffn_norm = true;
    layer.ffn.activation = c.gguf() ? ops::Activation::kGeluTanh : layer.ffn.activation;
    read_heads(c, a, sliding);
    if (c.gguf()) a.keys_as_values = !c.has_tensor("blk." + std::to_string(i) + ".attn_v.weight");
    a.qk_norm = ops::QkNorm::kPerHead;
    a.value_norm = true;
    a.scale = 1;
    a.window = sliding ? window : 0;
    a.rope = rope_of(c, spec, sliding, a.head_dim, ropes[sliding]);
    if (i < layers - shared) {
      last[sliding] = static_cast<int32_t>(i);
    } else if ((a.kv_source = last[sliding]) < 0) {
      c.fail(ErrorCode::kFormat, "layer " + std::to_string(i) + " has no earlier layer of its kind to read from");
    }
    read_width(c, layer);
    read_end_scale(c, layer, i);
    if (experts && (!c.gguf() || c.has_tensor("blk." + std::to_string(i) + ".ffn_gate_inp.weight"))) {
      layer.ffn_kind = FfnKind::kDenseAndExperts;
      layer.moe = moe;
    }
  }
}

void adapt(const ModelSpec&, bool gguf, TensorLayout& layout) {
  if (gguf) return;
  layout.names.post_attention = "post_attention_layernorm";
  layout.names.pre_ffn = "pre_feedforward_layernorm";
  layout.names.post_ffn = "post_feedforward_layernorm";
}

BlockRoles dense_and_expert_roles(const ModelSpec& spec, const MoeSpec& moe, const ModelSource& source) {
  constexpr ExpertNames kNames{.router = "router.proj",
                               .gate = "",
                               .up = "",
                               .down = "",
                               .all_gate_up = "experts.gate_up_proj",
                               .all_down = "experts.down_proj",
                               .expert_scale = "router.per_expert_scale",
                               .gguf_scaled = true};
  const bool gguf = source.gguf() != nullptr;
  BlockRoles roles = expert_roles(spec, moe, source, kNames);
  const auto add = [&](DenseAndExpertsVector at, const char* in_gguf, const char* in_hf) -> VectorRole& {
    if (roles.vectors.size() <= at) roles.vectors.resize(at + 1);
    return roles.vectors[at] = {gguf ? in_gguf : in_hf, Shape{spec.hidden}};
  };
  // The router's input is divided by sqrt(hidden) too.
  add(kRouterNorm, "ffn_gate_inp.scale", "router.scale").factors = {
      {spec.hidden, 1 / std::sqrt(static_cast<float>(spec.hidden))}};
  add(kExpertsNorm, "pre_ffw_norm_2.weight", "pre_feedforward_layernorm_2.weight");
  add(kDensePostNorm, "post_ffw_norm_1.weight", "post_feedforward_layernorm_1.weight");
  add(kExpertsPostNorm, "post_ffw_norm_2.weight", "post_feedforward_layernorm_2.weight");
  return roles;
}

LayerRoles roles(const ModelSpec& spec, uint32_t index, const ModelSource& source) {
  LayerRoles made = altup_layer_roles(spec, index, source);
  const LayerSpec& layer = spec.layers[index];
  if (layer.ffn_kind == FfnKind::kDenseAndExperts) made.ffn = dense_and_expert_roles(spec, layer.moe, source);
  return made;
}

}  // namespace

const Architecture kGemma4{"gemma4", kGguf, kHf, read, adapt, roles, altup_extra_roles};

}  // namespace lahar::arch
