#include "arch/ssm.h"

#include <cmath>
#include <nlohmann/json.hpp>

#include "blocks/mamba.h"
#include "blocks/mamba2.h"

namespace lahar::arch {
namespace {

constexpr uint32_t kMaxSsmState = 1024;

// Checkpoints hold log(-A).
float minus_exp(float v) { return static_cast<float>(-std::exp(static_cast<double>(v))); }

// [least, most]; infinity is not a number in JSON, and is written in many ways.
void read_time_step_limit(Config& c, SsmSpec& s) {
  if (c.gguf()) return;
  const auto found = c.json().find("time_step_limit");
  if (found == c.json().end() || !found->is_array() || found->size() != 2) return;
  if ((*found)[0].is_number()) s.dt_min = (*found)[0].get<float>();
  if ((*found)[1].is_number()) s.dt_max = (*found)[1].get<float>();
  if (!(s.dt_min >= 0 && s.dt_min <= s.dt_max))
    c.fail(ErrorCode::kFormat, "config.json: time_step_limit: expected two numbers, the first one not above the second");
}

uint32_t read_head_dim(Config& c, const ModelSpec& spec, const Mamba2Keys& keys, uint32_t heads) {
  const bool is_number = c.has(keys.head_dim) && c.json().at(keys.head_dim.hf).is_number();
  if (is_number || !c.has(keys.expand)) {
    if (!is_number && c.has(keys.head_dim)) return keys.default_head_dim;
    return c.count(keys.head_dim, 1, kMaxHeadDim, keys.default_head_dim);
  }
  const double inner = c.number(keys.expand, 1e-3, 64) * spec.hidden;
  return static_cast<uint32_t>(inner / heads);
}

void check_sizes(Config& c, const SsmSpec& s) {
  if (s.inner == 0 || s.inner % 4 != 0 || s.inner > kMaxWidth)
    c.fail(ErrorCode::kUnsupported,
           "Mamba layers of " + std::to_string(s.inner) + " channels are not supported; multiples of 4 are");
}

// With the weight's rows of x, B and C scaled.
VectorRole conv_weight(std::string name, const SsmSpec& s) {
  const ConvScales& scales = s.conv_scales;
  VectorRole role{std::move(name), Shape{s.conv_channels(), s.conv}};
  const uint32_t x = s.inner * s.conv, bc = s.groups * s.state * s.conv;
  if (scales.x != 1 || scales.b != 1 || scales.c != 1) role.factors = {{x, scales.x}, {bc, scales.b}, {bc, scales.c}};
  return role;
}

}  // namespace

void require_silu(Config& c, Key activation) {
  if (!c.gguf() && c.activation(activation, "silu") != ops::Activation::kSilu)
    c.fail(ErrorCode::kUnsupported,
           c.spelled(activation) + ": Mamba layers with another activation than silu are not supported");
}

SsmSpec read_mamba2(Config& c, const ModelSpec& spec, const Mamba2Keys& keys) {
  SsmSpec s;
  s.state = keys.default_state == 0 ? c.count(keys.state, 1, kMaxSsmState)
                                    : c.count(keys.state, 1, kMaxSsmState, keys.default_state);
  s.conv = c.count(keys.conv, 2, 8, keys.default_conv);
  s.heads =
      keys.default_heads == 0 ? c.count(keys.heads, 1, kMaxHeads) : c.count(keys.heads, 1, kMaxHeads, keys.default_heads);
  s.groups = c.count(keys.groups, 1, kMaxHeads, keys.default_groups);
  if (c.gguf()) {
    s.inner = c.count({"", "ssm.inner_size"}, 1, kMaxWidth);
  } else {
    s.inner = s.heads * read_head_dim(c, spec, keys, s.heads);
    s.conv_bias = c.flag(keys.conv_bias, true);
    s.in_bias = c.flag(keys.in_bias, false);
    s.out_bias = c.flag(keys.out_bias, false);
  }
  check_sizes(c, s);
  require_silu(c, keys.activation);
  if (s.inner % s.heads != 0 || s.heads % s.groups != 0)
    c.fail_key(keys.heads, "expected a divisor of " + std::to_string(s.inner) + " channels and a multiple of " +
                               std::to_string(s.groups) + " groups, found " + std::to_string(s.heads));
  read_time_step_limit(c, s);
  s.norm_groups = c.gguf() ? s.groups : 1;
  s.norm_eps = spec.norm.eps;
  return s;
}

void use_mamba2(LayerSpec& layer, const SsmSpec& ssm) {
  layer.mixer = Mixer::kMamba2;
  layer.attention = {};
  layer.ssm = ssm;
}

void adapt_mamba(const ModelSpec&, bool gguf, TensorLayout& layout) {
  if (gguf) return;
  layout.names.embedding = "embeddings";
  layout.names.final_norm = "norm_f";
  layout.names.pre_attention = "norm";
}

void drop_ffn(LayerSpec& layer) {
  layer.ffn_kind = FfnKind::kNone;
  layer.ffn = {};
  layer.pre_ffn_norm = false;
}

BlockRoles mamba2_roles(const ModelSpec& spec, const LayerSpec& layer, bool gguf, std::string_view prefix) {
  using namespace mamba2;
  const SsmSpec& s = layer.ssm;
  const auto name = [&](const char* hf, const char* in_gguf) { return gguf ? in_gguf : std::string(prefix) + hf; };
  BlockRoles roles;
  roles.linears.resize(2);
  roles.linears[kIn].stacked = {
      {name("in_proj", "ssm_in"), s.inner + s.conv_channels() + s.heads, spec.hidden, s.in_bias, {}, true}};
  roles.linears[kOut].stacked = {{name("out_proj", "ssm_out"), spec.hidden, s.inner, s.out_bias, {}, true}};
  roles.vectors.resize(6);
  roles.vectors[kConv] = conv_weight(name("conv1d.weight", "ssm_conv1d.weight"), s);
  if (s.conv_bias) roles.vectors[kConvBias] = {name("conv1d.bias", "ssm_conv1d.bias"), Shape{s.conv_channels()}};
  roles.vectors[kA] = {name("A_log", "ssm_a"), Shape{s.heads}};
  if (!gguf) roles.vectors[kA].map = minus_exp;
  roles.vectors[kD] = {name("D", "ssm_d"), Shape{s.heads}};
  roles.vectors[kDtBias] = {name("dt_bias", "ssm_dt.bias"), Shape{s.heads}};
  if (s.gate != ops::GateOrder::kGateAlone)
    roles.vectors[kNorm] = {name("norm.weight", "ssm_norm.weight"),
                            gguf ? Shape{s.groups, s.inner / s.groups} : Shape{s.inner}};
  return roles;
}

BlockRoles mamba_roles(const ModelSpec& spec, const LayerSpec& layer, bool gguf, std::string_view prefix) {
  using namespace mamba;
  const SsmSpec& s = layer.ssm;
  const auto name = [&](const char* hf, const char* in_gguf) { return gguf ? in_gguf : std::string(prefix) + hf; };
  BlockRoles roles;
  roles.linears.resize(6);
  roles.linears[kIn].stacked = {{name("in_proj", "ssm_in"), 2 * s.inner, spec.hidden, s.in_bias, {}, true}};
  const auto selection = [&](std::vector<RowRun> runs) {
    return LinearRole{.stacked = {{name("x_proj", "ssm_x"), s.dt_rank + 2 * s.state, s.inner, false, std::move(runs)}}};
  };
  if (selected_apart(s)) {
    roles.linears[kX] = selection({{0, s.dt_rank}});
    roles.linears[kB] = selection({{s.dt_rank, s.state}});
    roles.linears[kC] = selection({{s.dt_rank + s.state, s.state}});
  } else {
    roles.linears[kX] = selection({});
  }
  roles.linears[kDt].stacked = {{name("dt_proj", "ssm_dt"), s.inner, s.dt_rank, false, {}}};
  roles.linears[kOut].stacked = {{name("out_proj", "ssm_out"), spec.hidden, s.inner, s.out_bias, {}, true}};
  roles.vectors.resize(5);
  roles.vectors[kConv] = conv_weight(name("conv1d.weight", "ssm_conv1d.weight"), s);
  if (s.conv_bias) roles.vectors[kConvBias] = {name("conv1d.bias", "ssm_conv1d.bias"), Shape{s.inner}};
  roles.vectors[kA] = {name("A_log", "ssm_a"), Shape{s.inner, s.state}};
  if (!gguf) roles.vectors[kA].map = minus_exp;
  roles.vectors[kD] = {name("D", "ssm_d"), Shape{s.inner}};
  roles.vectors[kDtBias] = {name("dt_proj.bias", "ssm_dt.bias"), Shape{s.inner}};
  return roles;
}

}  // namespace lahar::arch
