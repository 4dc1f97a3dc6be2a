// RecurrentGemma (Griffin): two recurrent blocks to one of local attention, and Gemma's gated feed-forward with biases.
// Norm weights are stored as an offset from 1.
#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "arch/common.h"
#include "blocks/rg_lru.h"
#include "quant/float_bits.h"

namespace lahar::arch {

namespace {

constexpr std::string_view kHf[] = {"recurrent_gemma"};

// What log a is multiplied by the recurrent gate: the paper's -c softplus(parameter), c = 8.
float to_decay(float v) {
  const double x = v;
  return static_cast<float>(-8 * (std::max(x, 0.0) + std::log1p(std::exp(-std::abs(x)))));
}

// block_types is repeated as often as there are layers for it.
bool attends(Config& c, uint32_t layer) {
  const Key key{"block_types", ""};
  if (!c.has(key)) return layer % 3 == 2;
  const auto& types = c.json()[key.hf];
  if (types.is_array() && !types.empty()) {
    const auto& type = types[layer % types.size()];
    if (type == "attention") return true;
    if (type == "recurrent") return false;
  }
  c.fail_key(key, "expected a list of \"recurrent\" and \"attention\"");
  return false;
}

RgLruSpec read_rg_lru(Config& c, const ModelSpec& spec) {
  RgLruSpec r;
  if (!c.status().ok()) return r;
  r.width = c.count({"lru_width", ""}, 1, kMaxHidden, spec.hidden);
  r.heads = spec.layers[0].attention.heads;
  r.conv = c.count({"conv1d_width", ""}, 2, 8, 4);
  r.activation = spec.layers[0].ffn.activation;
  if (r.width % (4 * r.heads) != 0)
    c.fail(ErrorCode::kUnsupported, "lru_width: expected a multiple of 4 channels for each of the " +
                                        std::to_string(r.heads) + " heads, found " + std::to_string(r.width));
  return r;
}

void read(Config& c, ModelSpec& spec) {
  read_common(c, spec,
              {.activation = {"hidden_activation", ""},
               .default_activation = "gelu_pytorch_tanh",
               .default_layers = 26,
               .default_heads = 10,
               .default_context = 8192,
               .default_width = 7680,
               .default_tied = true});
  use_one_rope(c, spec, {.partial = true, .default_part = 0.5});
  read_attention_bias(c, spec);
  // The factor is kept in bf16.
  spec.embedding_scale = quant::bf16_to_float(quant::float_to_bf16(std::sqrt(static_cast<float>(spec.hidden))));
  spec.logit_softcap = static_cast<float>(c.number({"logits_soft_cap", ""}, 1e-6, 1e9, 30));
  const uint32_t window = c.count({"attention_window_size", ""}, 1, UINT32_MAX, 2048);
  const uint32_t width = c.count({"intermediate_size", ""}, 2, kMaxWidth, 7680) / 2;  // it counts gate and up together
  const RgLruSpec rg_lru = read_rg_lru(c, spec);
  for (uint32_t i = 0; i < spec.layers.size() && c.status().ok(); ++i) {
    LayerSpec& layer = spec.layers[i];
    layer.ffn.width = width;
    layer.ffn.up_bias = layer.ffn.down_bias = true;
    layer.attention.output_bias = true;
    layer.attention.window = window;
    if (attends(c, i)) continue;
    layer.mixer = Mixer::kRgLru;
    layer.attention = {};
    layer.rg_lru = rg_lru;
  }
}

void adapt(const ModelSpec&, bool, TensorLayout& layout) {
  layout.norm_offset = 1;
  TensorNames& n = layout.names;
  n.final_norm = "final_norm";
  n.pre_attention = "temporal_pre_norm";
  n.pre_ffn = "channel_pre_norm";
  n.q = "temporal_block.q_proj";
  n.k = "temporal_block.k_proj";
  n.v = "temporal_block.v_proj";
  n.attention_output = "temporal_block.o_proj";
  n.gate = "mlp_block.gate_proj";
  n.up = "mlp_block.up_proj";
  n.down = "mlp_block.down_proj";
}

LayerRoles roles(const ModelSpec& spec, uint32_t layer, const ModelSource&) {
  if (spec.layers[layer].mixer != Mixer::kRgLru) return {};
  const RgLruSpec& r = spec.layers[layer].rg_lru;
  const uint32_t h = spec.hidden;
  const std::string at = "temporal_block.", unit = at + "rg_lru.";
  // A block's rows are its inputs.
  const auto gate = [&](const char* name) {
    return LinearRole{.stacked = {{unit + name, r.width, r.width / r.heads, false, {}}}, .keep_type = true};
  };
  LayerRoles roles;
  roles.mixer.linears.resize(4);
  roles.mixer.linears[kRgLruIn].stacked = {{at + "linear_y", r.width, h, true, {}}, {at + "linear_x", r.width, h, true, {}}};
  roles.mixer.linears[kRgLruInputGate] = gate("input_gate_weight");
  roles.mixer.linears[kRgLruRecurrentGate] = gate("recurrent_gate_weight");
  roles.mixer.linears[kRgLruOut].stacked = {{at + "linear_out", h, r.width, true, {}}};
  roles.mixer.vectors.resize(5);
  roles.mixer.vectors[kRgLruTaps] = {at + "conv_1d.weight", Shape{r.width, r.conv}};
  roles.mixer.vectors[kRgLruTapsBias] = {at + "conv_1d.bias", Shape{r.width}};
  roles.mixer.vectors[kRgLruInputBias] = {unit + "input_gate_bias", Shape{r.heads, r.width / r.heads}};
  roles.mixer.vectors[kRgLruRecurrentBias] = {unit + "recurrent_gate_bias", Shape{r.heads, r.width / r.heads}};
  roles.mixer.vectors[kRgLruDecay] = {unit + "recurrent_param", Shape{r.width}, 0, to_decay};
  return roles;
}

}  // namespace

const Architecture kRecurrentGemma{"recurrent_gemma", {}, kHf, read, adapt, roles};

}  // namespace lahar::arch
