// LFM2: gated short convolutions and attention, layer by layer; with experts too.
#include <algorithm>
#include <nlohmann/json.hpp>

#include "arch/experts.h"
#include "blocks/short_conv.h"

namespace lahar::arch {

namespace {

constexpr std::string_view kGguf[] = {"lfm2"}, kHf[] = {"lfm2"};
constexpr std::string_view kMoeGguf[] = {"lfm2moe"}, kMoeHf[] = {"lfm2_moe"};

constexpr Key kKvHeads{"num_key_value_heads", "attention.head_count_kv"},
    kHeads{"num_attention_heads", "attention.head_count"};

// config.json: layer_types, or the older list of the layers of attention. GGUF: layers without KV heads convolve.
bool attends(Config& c, uint32_t layer) {
  if (c.gguf()) return c.layer_count(kKvHeads, layer, 0, kMaxHeads) > 0;
  if (const auto types = c.json().find("layer_types"); types != c.json().end() && types->is_array()) {
    if (layer < types->size() && (*types)[layer] == "full_attention") return true;
    if (layer >= types->size() || (*types)[layer] != "conv")
      c.fail_key({"layer_types", ""}, "expected \"conv\" or \"full_attention\" for each layer");
    return false;
  }
  const auto list = c.json().find("full_attn_idxs");
  if (list == c.json().end() || !list->is_array()) return true;
  return std::any_of(list->begin(), list->end(), [&](const auto& i) { return i.is_number_integer() && i == layer; });
}

// block_auto_adjust_ff_dim: two thirds, times a factor, rounded up.
uint32_t adjusted_width(Config& c, uint32_t width) {
  const double factor = c.number({"block_ffn_dim_multiplier", ""}, 0, 1000, 1);
  const uint32_t step = c.count({"block_multiple_of", ""}, 1, kMaxWidth, 256);
  const auto scaled = static_cast<uint32_t>(factor * (2 * uint64_t{width} / 3));
  return (scaled + step - 1) / step * step;
}

uint32_t most_heads(Config& c) {
  uint32_t heads = 0;
  const uint32_t layers = c.count({"num_hidden_layers", "block_count"}, 1, 4096, 1);
  for (uint32_t i = 0; i < layers && c.gguf() && c.status().ok(); ++i)
    heads = std::max(heads, c.layer_count(kHeads, i, 0, kMaxHeads));
  return heads;
}

void read(Config& c, ModelSpec& spec) {
  // The names of the first files.
  const char* width = c.has({"block_ff_dim", ""}) ? "block_ff_dim" : "intermediate_size";
  const char* base = c.has({"theta", ""}) ? "theta" : "rope_theta";
  read_common(c, spec,
              {.width = {width, "feed_forward_length"},
               .eps = {"norm_eps", "attention.layer_norm_rms_epsilon"},
               .default_heads = most_heads(c),
               .default_context = 128000,
               .default_eps = 1e-5,
               .default_tied = true});
  use_one_rope(c, spec, {.default_base = 1e6, .base_key = base});
  if (!c.gguf()) spec.tied_head = c.flag({"tie_embedding", ""}, spec.tied_head);
  const uint32_t window = c.count({"", "attention.sliding_window"}, 0, UINT32_MAX, 0);
  const uint32_t taps = c.count({"conv_L_cache", "shortconv.l_cache"}, 2, 8, 3);
  const bool bias = !c.gguf() && c.flag({"conv_bias", ""}, false);
  const bool adjust = !c.gguf() && c.flag({"block_auto_adjust_ff_dim", ""}, c.source().architecture() == "lfm2");
  for (uint32_t i = 0; i < spec.layers.size() && c.status().ok(); ++i) {
    LayerSpec& layer = spec.layers[i];
    if (adjust) layer.ffn.width = adjusted_width(c, layer.ffn.width);
    layer.attention.qk_norm = ops::QkNorm::kPerHead;
    layer.attention.window = window;
    if (attends(c, i)) continue;
    layer.mixer = Mixer::kShortConv;
    layer.attention = {};
    layer.short_conv = {taps, bias};
  }
  if (spec.hidden % 4 != 0) c.fail(ErrorCode::kUnsupported, "a hidden size that is no multiple of 4 is not supported");
}

void read_experts(Config& c, ModelSpec& spec) {
  read(c, spec);
  MoeSpec moe = read_moe(c, spec, {.default_experts = 32, .default_chosen = 4, .default_width = 1792});
  moe.score = ops::RouterScore::kSigmoid;
  moe.normalize = c.gguf() || c.flag({"norm_topk_prob", ""}, true);
  if (!c.gguf()) {
    moe.scale = static_cast<float>(c.number({"routed_scaling_factor", ""}, 1e-6, 1e6, 1));
    moe.selection_bias = c.flag({"use_expert_bias", ""}, true);
  }
  const uint32_t dense = c.count({"num_dense_layers", "leading_dense_block_count"}, 0, UINT32_MAX, c.gguf() ? 0 : 2);
  for (uint32_t i = dense; i < spec.layers.size() && c.status().ok(); ++i) use_experts(spec.layers[i], moe);
}

void adapt(const ModelSpec&, bool gguf, TensorLayout& layout) {
  TensorNames& n = layout.names;
  if (gguf) {
    n.final_norm = "token_embd_norm";
    layout.scaled_ffn = false;
    return;
  }
  n.final_norm = "embedding_norm";
  n.pre_attention = "operator_norm";
  n.pre_ffn = "ffn_norm";
  n.q_norm = "self_attn.q_layernorm";
  n.k_norm = "self_attn.k_layernorm";
  n.attention_output = "self_attn.out_proj";
  n.gate = "feed_forward.w1";
  n.up = "feed_forward.w3";
  n.down = "feed_forward.w2";
}

LayerRoles roles(const ModelSpec& spec, uint32_t layer, const ModelSource& source) {
  const LayerSpec& l = spec.layers[layer];
  const uint32_t h = spec.hidden;
  LayerRoles roles = expert_layer_roles(spec, layer, source,
                                        {.router = "feed_forward.gate",
                                         .selection_bias = "feed_forward.expert_bias",
                                         .experts = "feed_forward.experts.",
                                         .gate = ".w1",
                                         .up = ".w3",
                                         .down = ".w2",
                                         .all_gate_up = "feed_forward.experts.gate_up_proj",
                                         .all_down = "feed_forward.experts.down_proj"});
  if (l.mixer != Mixer::kShortConv) return roles;
  const std::string at = source.gguf() != nullptr ? "shortconv." : "conv.";
  const bool bias = l.short_conv.bias;
  roles.mixer.linears = {{.stacked = {{at + "in_proj", 3 * h, h, bias, {}}}},
                         {.stacked = {{at + "out_proj", h, h, bias, {}}}}};
  roles.mixer.vectors = {{at + "conv.weight", Shape{h, l.short_conv.conv}, 0, nullptr},
                         {bias ? at + "conv.bias" : "", Shape{h}, 0, nullptr}};
  return roles;
}

}  // namespace

const Architecture kLfm2{"lfm2", kGguf, kHf, read, adapt, roles};
const Architecture kLfm2Moe{"lfm2_moe", kMoeGguf, kMoeHf, read_experts, adapt, roles};

}  // namespace lahar::arch
