#include "arch/gated_delta.h"

#include <cmath>
#include <nlohmann/json.hpp>

#include "blocks/delta_net.h"

namespace lahar::arch {

namespace {

float to_decay(float v) { return -std::exp(v); }

bool is_recurrent(Config& c, uint32_t layer) {
  const uint32_t period = c.count({"full_attention_interval", "full_attention_interval"}, 1, UINT32_MAX, 4);
  const bool by_period = (layer + 1) % period != 0;
  if (c.gguf()) {
    const Key key{"", "attention.recurrent_layers"};
    const GgufArray* list = c.source().gguf()->metadata().array(c.spelled(key));
    if (list == nullptr) return by_period;
    if (layer < list->count && list->element != GgufType::kString) return list->integer(layer) != 0;
    c.fail_key(key, "expected a number for each layer");
    return false;
  }
  const auto types = c.json().find("layer_types");
  if (types == c.json().end() || types->is_null()) return by_period;
  if (types->is_array() && layer < types->size()) {
    if ((*types)[layer] == "linear_attention") return true;
    if ((*types)[layer] == "full_attention") return false;
  }
  c.fail_key({"layer_types", ""}, "expected \"linear_attention\" or \"full_attention\" for each layer");
  return false;
}

DeltaNetSpec read_delta_net(Config& c) {
  DeltaNetSpec d;
  const Key key_heads{"linear_num_key_heads", "ssm.group_count"},
      value_heads{"linear_num_value_heads", "ssm.time_step_rank"};
  const Key key_dim{"linear_key_head_dim", "ssm.state_size"}, value_dim{"linear_value_head_dim", "ssm.state_size"};
  d.key_heads = c.gguf() ? c.count(key_heads, 1, kMaxHeads) : c.count(key_heads, 1, kMaxHeads, 16);
  d.value_heads = c.gguf() ? c.count(value_heads, 1, kMaxHeads) : c.count(value_heads, 1, kMaxHeads, 32);
  d.key_dim = c.gguf() ? c.count(key_dim, 1, 256) : c.count(key_dim, 1, 256, 128);
  d.value_dim = c.gguf() ? c.count(value_dim, 1, 256) : c.count(value_dim, 1, 256, 128);
  d.conv = c.count({"linear_conv_kernel_dim", "ssm.conv_kernel"}, 2, 8, 4);
  if (d.key_dim % 4 != 0 || d.value_dim % 4 != 0)
    c.fail(ErrorCode::kUnsupported, c.spelled(key_dim) + ": head dims that are no multiple of 4 are not supported");
  if (c.status().ok() && d.value_heads % d.key_heads != 0)
    c.fail_key(value_heads, "expected a multiple of the " + std::to_string(d.key_heads) + " key heads, found " +
                                std::to_string(d.value_heads));
  return d;
}

MatrixRole matrix(std::string name, uint32_t rows, uint32_t cols, bool scaled, std::vector<RowRun> runs = {}) {
  return {std::move(name), rows, cols, false, std::move(runs), scaled};
}

// Rows of a tensor of `groups` groups, each with parts of these sizes, so that all of a part comes together.
std::vector<RowRun> regrouped(uint32_t groups, std::initializer_list<uint32_t> parts) {
  uint32_t group = 0, begin = 0;
  for (const uint32_t rows : parts) group += rows;
  std::vector<RowRun> runs;
  for (const uint32_t rows : parts) {
    for (uint32_t g = 0; g < groups; ++g) runs.push_back({g * group + begin, rows});
    begin += rows;
  }
  return runs;
}

struct Names {
  std::string_view by_head, gates, qkv, z, beta, alpha, out, taps, decay, bias, norm;
};
constexpr Names kHf{"linear_attn.in_proj_qkvz", "linear_attn.in_proj_ba",    "linear_attn.in_proj_qkv",
                    "linear_attn.in_proj_z",    "linear_attn.in_proj_b",     "linear_attn.in_proj_a",
                    "linear_attn.out_proj",     "linear_attn.conv1d.weight", "linear_attn.A_log",
                    "linear_attn.dt_bias",      "linear_attn.norm.weight"};
constexpr Names kGguf{"ssm_in",   "ssm_ba",      "attn_qkv",       "attn_gate",
                      "ssm_beta", "ssm_alpha",   "ssm_out",        "ssm_conv1d.weight",
                      "ssm_a",    "ssm_dt.bias", "ssm_norm.weight"};

// Tensors that do not become one matrix begin at a multiple of four columns.
bool alpha_apart(const DeltaNetSpec& d) { return d.value_heads % 4 != 0; }

LinearRole input_role(const ModelSpec& spec, const DeltaNetSpec& d, const Names& n, DeltaNetInput input, bool by_head,
                      bool scaled) {
  const uint32_t h = spec.hidden, keys = d.key_heads * d.key_dim, values = d.value_heads * d.value_dim;
  const uint32_t in_group = d.value_heads / d.key_heads;
  LinearRole in;
  const auto add = [&](std::string_view name, uint32_t rows, std::vector<RowRun> runs = {}) {
    in.stacked.push_back(matrix(std::string(name), rows, h, scaled, std::move(runs)));
  };
  if (by_head) {
    const uint32_t value_rows = in_group * d.value_dim;
    add(n.by_head, 2 * keys + 2 * values, regrouped(d.key_heads, {d.key_dim, d.key_dim, value_rows, value_rows}));
  } else {
    add(n.qkv, 2 * keys + values);
    add(n.z, values);
  }
  if (input == DeltaNetInput::kByHead) {
    add(n.gates, 2 * d.value_heads, regrouped(d.key_heads, {in_group, in_group}));
  } else {
    add(n.beta, d.value_heads);
    if (!alpha_apart(d)) add(n.alpha, d.value_heads);
  }
  return in;
}

}  // namespace

void read_gated_delta(Config& c, ModelSpec& spec, bool tiled) {
  read_common(c, spec,
              {.default_kv_heads = c.gguf() ? 0u : 2u,
               .default_head_dim = 256,
               .default_context = 32768,
               .default_width = c.gguf() ? 0u : 5632u});
  // Layers that predict further tokens come last.
  const uint32_t further = c.count({"", "nextn_predict_layers"}, 0, UINT32_MAX, 0);
  if (further < spec.layers.size()) spec.layers.resize(spec.layers.size() - further);
  use_one_rope(c, spec, {.partial = true, .default_part = 0.25});
  read_attention_bias(c, spec);
  DeltaNetSpec d = read_delta_net(c);
  d.tiled = tiled;
  for (uint32_t i = 0; i < spec.layers.size() && c.status().ok(); ++i) {
    LayerSpec& layer = spec.layers[i];
    layer.attention.qk_norm = ops::QkNorm::kPerHead;
    layer.attention.output_gate = true;
    if (!is_recurrent(c, i)) continue;
    layer.mixer = Mixer::kDeltaNet;
    layer.attention = {};
    layer.delta_net = d;
  }
}

void read_gated_delta_experts(Config& c, ModelSpec& spec) {
  if (!c.gguf() && c.count({"num_experts", ""}, 0, ops::kMaxExperts, 512) == 0) return;  // all layers are dense
  MoeSpec moe = read_moe(c, spec, {.default_experts = 512, .default_chosen = 10, .default_width = 512});
  moe.normalize = c.gguf() || c.flag({"norm_topk_prob", ""}, true);
  const Key shared{"shared_expert_intermediate_size", "expert_shared_feed_forward_length"};
  moe.shared_width = c.count(shared, 1, kMaxWidth, c.gguf() ? spec.layers[0].ffn.width : 512);
  moe.shared_gate = true;
  for (uint32_t i = 0; i < spec.layers.size() && c.status().ok(); ++i)
    if (is_sparse_layer(c, i)) use_experts(spec.layers[i], moe);
}

void adapt_gated_delta(bool gguf, TensorLayout& layout) {
  if (gguf) layout.names.pre_ffn = "post_attention_norm";
  else layout.norm_offset = 1;
}

LayerRoles gated_delta_roles(const ModelSpec& spec, uint32_t layer, const ModelSource& source, DeltaNetInput input,
                             bool scaled) {
  LayerRoles roles = expert_layer_roles(spec, layer, source, {.gguf_scaled = true});
  if (!roles.ffn.linears.empty())
    for (const uint32_t shared : {kSharedUp, kSharedDown})
      for (MatrixRole& m : roles.ffn.linears[shared].stacked) m.scaled = true;
  if (spec.layers[layer].mixer != Mixer::kDeltaNet) return roles;
  const bool gguf = source.gguf() != nullptr;
  const DeltaNetSpec& d = spec.layers[layer].delta_net;
  const Names& n = gguf ? kGguf : kHf;
  // Newer GGUF files have q, k, v and z sorted already.
  const bool sorted = gguf && source.find_tensor("blk." + std::to_string(layer) + ".attn_qkv.weight") != nullptr;
  const uint32_t values = d.value_heads * d.value_dim;
  roles.mixer.linears = {input_role(spec, d, n, input, input == DeltaNetInput::kByHead && !sorted, scaled),
                         {.stacked = {matrix(std::string(n.out), spec.hidden, values, scaled)}}};
  if (input == DeltaNetInput::kSeparate && alpha_apart(d))
    roles.mixer.linears.push_back({.stacked = {matrix(std::string(n.alpha), d.value_heads, spec.hidden, scaled)}});
  roles.mixer.linears.resize(3);
  roles.mixer.vectors = {
      {std::string(n.taps), Shape{2 * d.key_heads * d.key_dim + values, d.conv}, 0, nullptr},
      {std::string(n.decay), Shape{d.value_heads}, 0, gguf ? nullptr : to_decay},
      {std::string(n.bias), Shape{d.value_heads}, 0, nullptr},
      {std::string(n.norm), Shape{d.value_dim}, 0, nullptr},
  };
  return roles;
}

}  // namespace lahar::arch
