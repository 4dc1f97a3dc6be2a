#include "arch/common.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

namespace lahar::arch {

namespace {

uint32_t read_head_dim(Config& c, const Common& common, uint32_t hidden, uint32_t heads) {
  uint32_t fallback = c.gguf() || c.is_null(common.head_dim) ? 0 : common.default_head_dim;
  if (fallback == 0) fallback = hidden / heads;
  const uint32_t head_dim = c.count(common.head_dim, 1, kMaxHeadDim, fallback);
  if (head_dim == 0 || head_dim > kMaxHeadDim) {
    c.fail_key(common.heads, "expected at most " + std::to_string(hidden) + " heads for a hidden size of as much, found " +
                                 std::to_string(heads));
    return 4;
  }
  // Every row of q, k and v begins 16-byte aligned.
  if (head_dim % 4 != 0)
    c.fail(ErrorCode::kUnsupported, "a head dim of " + std::to_string(head_dim) + " is not supported; multiples of 4 are");
  if (c.gguf() && c.count(common.value_dim, 1, kMaxHeadDim, head_dim) != head_dim)
    c.fail(ErrorCode::kUnsupported, c.spelled(common.value_dim) + ": keys and values of different length are not supported");
  return head_dim;
}

}  // namespace

void read_sizes(Config& c, ModelSpec& spec, const Common& common) {
  spec.hidden = common.default_hidden == 0 ? c.count(common.hidden, 1, kMaxHidden)
                                           : c.count(common.hidden, 1, kMaxHidden, common.default_hidden);
  // Each layer has several tensors of its own, so that their number bounds what a lie can make us allocate.
  const auto most_layers = static_cast<uint32_t>(std::min<size_t>(c.source().tensors().size(), 4096));
  const uint32_t layers = common.default_layers == 0
                              ? c.count(common.layers, 1, std::max(most_layers, 1u))
                              : c.count(common.layers, 1, std::max(most_layers, 1u), common.default_layers);
  spec.context_length = std::min(c.count(common.context, 1, UINT32_MAX, common.default_context), kMaxContext);
  spec.norm.eps = static_cast<float>(c.number(common.eps, 1e-30, 1, common.default_eps));
  spec.qk_norm_eps = spec.norm.eps;
  spec.tied_head = !c.gguf() && c.flag({"tie_word_embeddings", ""}, common.default_tied);
  spec.layers.resize(layers);
}

void read_common(Config& c, ModelSpec& spec, const Common& common) {
  read_sizes(c, spec, common);
  // A GGUF counts no heads in layers that have no attention; here they look like the others until they are given a mixer.
  uint32_t default_heads = common.default_heads;
  for (uint32_t i = 0; c.gguf() && i < spec.layers.size() && c.status().ok(); ++i)
    default_heads = std::max(default_heads, c.layer_count(common.heads, i, 0, kMaxHeads, 0));
  const ops::Activation activation =
      c.gguf() ? ops::Activation::kSilu : c.activation(common.activation, common.default_activation);
  const uint32_t default_kv_heads = c.is_null(common.kv_heads) ? 0 : common.default_kv_heads;
  for (uint32_t i = 0; i < spec.layers.size() && c.status().ok(); ++i) {
    AttentionSpec& a = spec.layers[i].attention;
    a.heads = default_heads == 0 ? c.layer_count(common.heads, i, 1, kMaxHeads)
                                 : c.layer_count(common.heads, i, 1, kMaxHeads, default_heads);
    a.kv_heads = c.layer_count(common.kv_heads, i, 1, kMaxHeads, default_kv_heads == 0 ? a.heads : default_kv_heads);
    a.head_dim = read_head_dim(c, common, spec.hidden, a.heads);
    a.scale = static_cast<float>(1 / std::sqrt(static_cast<double>(a.head_dim)));
    if (a.heads % a.kv_heads != 0)
      c.fail_key(common.kv_heads,
                 "expected a divisor of the " + std::to_string(a.heads) + " heads, found " + std::to_string(a.kv_heads));
    FfnSpec& f = spec.layers[i].ffn;
    f.width = common.default_width == 0 ? c.layer_count(common.width, i, 1, kMaxWidth)
                                        : c.layer_count(common.width, i, 1, kMaxWidth, common.default_width);
    f.activation = activation;
  }
}

void use_one_rope(Config& c, ModelSpec& spec, const RopeOptions& options) {
  const int32_t index = add_rope(c, spec, options);
  for (LayerSpec& layer : spec.layers) layer.attention.rope = index;
}

void read_attention_bias(Config& c, ModelSpec& spec, bool fallback) {
  const bool bias = !c.gguf() && c.flag({"attention_bias", ""}, fallback);
  for (LayerSpec& layer : spec.layers) layer.attention.qkv_bias = layer.attention.output_bias = bias;
}

uint32_t read_window(Config& c, uint32_t fallback) {
  if (c.is_null({"sliding_window", ""})) return 0;
  return c.count({"sliding_window", "attention.sliding_window"}, 0, UINT32_MAX, fallback);
}

bool sliding_by_pattern(Config& c, uint32_t layer, uint32_t period) {
  if (!c.gguf()) {
    const Key key{c.has({"_sliding_window_pattern", ""}) ? "_sliding_window_pattern" : "sliding_window_pattern", ""};
    // EXAONE's files spell the period as letters: "LLLG".
    if (auto found = c.json().find(key.hf); found != c.json().end() && found->is_string()) {
      const auto& letters = found->get_ref<const std::string&>();
      if (!letters.empty()) return c.sliding_layer(layer, letters[layer % letters.size()] == 'L');
    }
    return c.sliding_layer(layer, (layer + 1) % c.count(key, 1, UINT32_MAX, period) != 0);
  }
  const Key key{"", "attention.sliding_window_pattern"};
  const GgufArray* list = c.source().gguf()->metadata().array(c.spelled(key));
  if (list == nullptr) return (layer + 1) % c.count(key, 1, UINT32_MAX, period) != 0;
  if (layer >= list->count || list->element == GgufType::kString) {
    c.fail_key(key, "expected one boolean a layer");
    return false;
  }
  return list->integer(layer) != 0;
}

}  // namespace lahar::arch
