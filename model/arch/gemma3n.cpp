// Gemma 3n (text): Gemma 3 on AltUp's streams, with LAuReL, inputs of each layer's own, sparse activations in the first
// layers, a norm on values, and last layers that read the keys and values of earlier ones.
#include <cmath>
#include <nlohmann/json.hpp>

#include "arch/altup_roles.h"
#include "arch/common.h"

namespace lahar::arch {

namespace {

constexpr std::string_view kGguf[] = {"gemma3n"}, kHf[] = {"gemma3n_text", "gemma3n"};

// The number of standard deviations above the mean that leaves the part `sparsity` of a normal distribution below.
double normal_quantile(double sparsity) {
  double low = -10, high = 10;
  for (int i = 0; i < 100; ++i) {
    const double middle = (low + high) / 2;
    (0.5 * std::erfc(-middle / std::sqrt(2.0)) < sparsity ? low : high) = middle;
  }
  return (low + high) / 2;
}

double sparsity_of(Config& c, uint32_t layer, size_t layers) {
  // A config.json without a list means this in models of more than ten layers; GGUF's are all larger.
  const double first_ten = layer < 10 && (c.gguf() || layers > 10) ? 0.95 : 0;
  if (c.gguf()) return first_ten;
  auto found = c.json().find("activation_sparsity_pattern");
  if (found == c.json().end() || found->is_null()) return first_ten;
  const nlohmann::json& value = found->is_array() && layer < found->size() ? (*found)[layer] : *found;
  if (value.is_number() && value.get<double>() >= 0 && value.get<double>() < 1) return value.get<double>();
  c.fail_key({"activation_sparsity_pattern", ""}, "expected numbers from 0 to below 1, one a layer");
  return 0;
}

// Dimension `axis` of a GGUF's tensor.
uint32_t dimension(Config& c, const char* name, size_t axis) {
  const TensorView* tensor = c.source().find_tensor(name);
  if (tensor != nullptr && axis < tensor->shape.rank() && tensor->shape[axis] <= kMaxWidth)
    return static_cast<uint32_t>(tensor->shape[axis]);
  c.fail(ErrorCode::kFormat, "tensor '" + std::string(name) + "': expected " + std::to_string(axis + 1) + " dimensions");
  return 4;
}

void read_streams(Config& c, ModelSpec& spec) {
  AltUpSpec& a = spec.altup;
  a.streams = c.gguf() ? dimension(c, "blk.0.altup_router.weight", 0) : c.count({"altup_num_inputs", ""}, 2, 8, 4);
  a.active = c.count({"altup_active_idx", "altup.active_idx"}, 0, 7, 0);
  a.laurel_rank = c.gguf() ? dimension(c, "blk.0.laurel_l.weight", 0) : c.count({"laurel_rank", ""}, 1, kMaxWidth, 64);
  a.scaled = c.flag({"altup_correct_scale", ""}, true);
  if (!c.gguf() && !c.is_null({"altup_coef_clip", ""}))
    a.limit = static_cast<float>(c.number({"altup_coef_clip", ""}, 1e-9, 1e9, 120));
  spec.layer_inputs.width = c.gguf() ? dimension(c, "per_layer_proj_norm.weight", 0)
                                     : c.count({"hidden_size_per_layer_input", ""}, 1, kMaxWidth, 256);
  spec.layer_inputs.vocabulary = table_rows(c.source(), c.gguf() ? "per_layer_token_embd" : "embed_tokens_per_layer");
  if (a.streams < 2 || a.streams > 8 || a.active >= a.streams)
    c.fail_key({"altup_num_inputs", "altup.num_inputs"}, "expected 2 to 8 streams, one of them active");
  if (spec.hidden % 4 != 0 || spec.layer_inputs.width % 4 != 0 || a.laurel_rank % 4 != 0)
    c.fail(ErrorCode::kUnsupported, "widths of streams, of layers' inputs and of LAuReL that are no multiples of 4");
}

void read(Config& c, ModelSpec& spec) {
  // Gemma3nTextConfig's.
  const auto of_class = [&](uint32_t size) { return c.gguf() ? 0 : size; };
  read_common(c, spec,
              {.activation = {"hidden_activation", ""},
               .default_activation = "gelu_pytorch_tanh",
               .default_hidden = of_class(2048),
               .default_layers = of_class(35),
               .default_heads = of_class(8),
               .default_kv_heads = of_class(2),
               .default_head_dim = 256,
               .default_context = 32768,
               .default_width = of_class(16384),
               .default_tied = true});
  const int32_t full = add_rope(c, spec, {.default_base = c.gguf() ? 1e4 : 1e6, .layer_type = "full_attention"});
  const int32_t local =
      add_rope(c, spec, {.plain = c.gguf(), .layer_type = "sliding_attention", .gguf_base = {"", "rope.freq_base_swa"}});
  read_streams(c, spec);
  read_attention_bias(c, spec);
  check_inputs_activation(c, spec);
  spec.embedding_scale = std::sqrt(static_cast<float>(spec.hidden));
  spec.logit_softcap = static_cast<float>(c.number({"final_logit_softcapping", "final_logit_softcapping"}, 0, 1e9, 30));
  const uint32_t window = read_window(c, 512);
  const auto layers = static_cast<uint32_t>(spec.layers.size());
  // GGUF's runtimes know that 20 layers have keys and values of their own.
  const uint32_t shared = c.count({"num_kv_shared_layers", "attention.shared_kv_layers"}, 0, layers - 1,
                                  c.gguf() ? (layers > 20 ? layers - 20 : 0) : std::min(15u, layers - 1));
  int32_t last_full = -1, last_sliding = -1;
  for (uint32_t i = 0; i < layers && c.status().ok(); ++i) {
    LayerSpec& layer = spec.layers[i];
    AttentionSpec& a = layer.attention;
    layer.post_attention_norm = layer.post_ffn_norm = true;
    layer.ffn.activation = c.gguf() ? ops::Activation::kGeluTanh : layer.ffn.activation;
    const double sparsity = sparsity_of(c, i, layers);
    layer.ffn.sparse = sparsity > 0;
    layer.ffn.sample_deviation = c.gguf();
    layer.ffn.deviations = sparsity > 0 ? static_cast<float>(normal_quantile(sparsity)) : 0;
    a.qk_norm = ops::QkNorm::kPerHead;
    a.value_norm = true;
    a.scale = 1;
    const bool sliding = sliding_by_pattern(c, i, 5);
    a.window = sliding ? window : 0;
    a.rope = sliding ? local : full;
    int32_t& last = sliding ? last_sliding : last_full;
    if (i < layers - shared) {
      last = static_cast<int32_t>(i);
    } else if ((a.kv_source = last) < 0) {
      c.fail(ErrorCode::kFormat, "layer " + std::to_string(i) + " has no earlier layer of its kind to read from");
    }
  }
}

void adapt(const ModelSpec&, bool gguf, TensorLayout& layout) {
  if (gguf) {
    layout.scaled_ffn = false;
    return;
  }
  layout.names.post_attention = "post_attention_layernorm";
  layout.names.pre_ffn = "pre_feedforward_layernorm";
  layout.names.post_ffn = "post_feedforward_layernorm";
}

}  // namespace

const Architecture kGemma3n{"gemma3n", kGguf, kHf, read, adapt, altup_layer_roles, altup_extra_roles};

}  // namespace lahar::arch
