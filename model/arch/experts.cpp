#include "arch/experts.h"

#include <algorithm>
#include <nlohmann/json.hpp>

namespace lahar::arch {
namespace {

constexpr ExpertNames kGgufNames{.router = "ffn_gate_inp",
                                 .selection_bias = "exp_probs_b.bias",
                                 .experts = "",
                                 .gate = "ffn_gate",
                                 .up = "ffn_up",
                                 .down = "ffn_down",
                                 .all_gate_up = "ffn_gate_up_exps",
                                 .all_down = "ffn_down_exps",
                                 .shared_gate = "ffn_gate_shexp",
                                 .shared_up = "ffn_up_shexp",
                                 .shared_down = "ffn_down_shexp",
                                 .shared_sigmoid = "ffn_gate_inp_shexp.weight",
                                 .latent_in = "ffn_latent_down",
                                 .latent_out = "ffn_latent_up",
                                 .expert_scale = "ffn_down_exps.scale"};

bool ends_in_this_layer(std::string_view name, std::string_view tail) {
  return name.size() > tail.size() && name.ends_with(tail) && name[name.size() - tail.size() - 1] == '.';
}

class Roles {
 public:
  Roles(const ModelSpec& spec, const MoeSpec& moe, const ModelSource& source, const ExpertNames& names)
      : spec_(spec),
        moe_(moe),
        source_(source),
        gguf_(source.gguf() != nullptr),
        outer_(moe.latent > 0 ? moe.latent : spec.hidden),
        names_(gguf_ ? kGgufNames : names) {
    names_.gguf_scaled = names.gguf_scaled;
  }

  BlockRoles build() {
    BlockRoles roles;
    roles.linears = {router(), shared_up(), shared_down(), latent(names_.latent_in, moe_.latent, spec_.hidden),
                     latent(names_.latent_out, spec_.hidden, moe_.latent)};
    roles.vectors.resize(3);
    if (moe_.selection_bias) roles.vectors[kSelectionBias] = {std::string(names_.selection_bias), Shape{moe_.experts}};
    if (moe_.shared_width > 0 && moe_.shared_gate)
      roles.vectors[kSharedGate] = {std::string(names_.shared_sigmoid), Shape{spec_.hidden}};
    if (scales_routes())
      roles.vectors[kExpertScale] = {
          .name = std::string(names_.expert_scale), .shape = Shape{moe_.experts}, .optional = gguf_};
    roles.experts.experts = moe_.experts;
    add_up(roles.experts.up);
    ExpertMatrixRole down = role(names_.all_down, names_.down, outer_, moe_.width, moe_.down_bias);
    down.scaled = down.scaled && !scales_routes();
    roles.experts.down.push_back(std::move(down));
    return roles;
  }

 private:
  // A factor of what the down projection gives is one of the weight of the route, but for a bias that it must not touch and
  // for a weight that goes to the input: there it is multiplied into the matrix.
  bool scales_routes() const {
    if (gguf_ && (!names_.gguf_scaled || moe_.down_bias || moe_.weighted_input)) return false;
    return !names_.expert_scale.empty();
  }

  LinearRole router() const {
    return {.stacked = {{std::string(names_.router), moe_.experts, spec_.hidden, moe_.router_bias, {}}}, .keep_type = true};
  }

  LinearRole shared_up() const {
    LinearRole up;
    if (moe_.shared_width == 0) return up;
    const auto add = [&](std::string_view name, uint32_t rows) {
      up.stacked.push_back({std::string(name), rows, spec_.hidden, moe_.shared_bias, {}});
    };
    if (moe_.gated && !names_.shared_gate_up.empty()) {
      add(names_.shared_gate_up, 2 * moe_.shared_width);
      return up;
    }
    if (moe_.gated) add(names_.shared_gate, moe_.shared_width);
    add(names_.shared_up, moe_.shared_width);
    return up;
  }

  LinearRole shared_down() const {
    if (moe_.shared_width == 0) return {};
    return {.stacked = {{std::string(names_.shared_down), spec_.hidden, moe_.shared_width, moe_.shared_bias, {}}}};
  }

  LinearRole latent(std::string_view name, uint32_t rows, uint32_t cols) const {
    if (moe_.latent == 0) return {};
    return {.stacked = {{std::string(name), rows, cols, moe_.latent_bias, {}}}};
  }

  // In a GGUF one expert's tensors are called ffn_up.7, all together ffn_up_exps.
  ExpertMatrixRole role(std::string_view all, std::string_view each, uint32_t rows, uint32_t cols, bool bias) const {
    ExpertMatrixRole r;
    r.all = all;
    r.before = gguf_ ? std::string(each) + "." : std::string(names_.experts);
    if (!gguf_) r.after = each;
    if (each.empty()) r.before.clear();
    r.rows = rows;
    r.cols = cols;
    r.bias = bias;
    r.transposed = names_.transposed && (each.empty() || (!all.empty() && holds(all)));
    r.scaled = names_.gguf_scaled;
    return r;
  }

  void add_up(std::vector<ExpertMatrixRole>& up) const {
    const uint32_t width = moe_.width;
    if (moe_.gated && !names_.all_gate_up.empty() && holds_gate_and_up()) {
      ExpertMatrixRole fused = role(names_.all_gate_up, "", 2 * width, outer_, moe_.up_bias);
      if (names_.interleaved) fused.runs = {{0, width, 2}, {1, width, 2}};
      up.push_back(std::move(fused));
      return;
    }
    if (moe_.gated) up.push_back(role(gguf_ ? "ffn_gate_exps" : "", names_.gate, width, outer_, moe_.up_bias));
    up.push_back(role(gguf_ ? "ffn_up_exps" : names_.all_up, names_.up, width, outer_, moe_.up_bias));
  }

  // Any layer's: files have the same form in all of them.
  bool holds(std::string_view all) const {
    const std::string name(all);
    return has_in_layers(source_, name + ".weight") || (!gguf_ && has_in_layers(source_, name)) ||
           has_in_layers(source_, name + "_blocks");
  }
  // Without names for one expert there is no other form.
  bool holds_gate_and_up() const { return names_.gate.empty() || holds(names_.all_gate_up); }

  const ModelSpec& spec_;
  const MoeSpec& moe_;
  const ModelSource& source_;
  const bool gguf_;
  const uint32_t outer_;  // what an expert reads and writes
  ExpertNames names_;
};

}  // namespace

bool has_in_layers(const ModelSource& source, std::string_view name) {
  return std::any_of(source.tensors().begin(), source.tensors().end(),
                     [&](const TensorView& t) { return ends_in_this_layer(t.name, name); });
}

bool named_as_in_memory(const ModelSource& source) {
  return source.gguf() == nullptr && has_in_layers(source, "mlp.experts.gate_up_proj");
}

MoeSpec read_moe(Config& c, const ModelSpec& spec, const MoeKeys& keys, uint32_t layer) {
  const auto count = [&](Key key, uint32_t most, uint32_t fallback) {
    return c.gguf() || fallback == 0 ? c.count(key, 1, most) : c.count(key, 1, most, fallback);
  };
  MoeSpec moe;
  Key experts = keys.experts;
  if (!c.gguf() && !c.has(experts) && c.has({"num_local_experts", ""})) experts.hf = "num_local_experts";
  moe.experts = count(experts, ops::kMaxExperts, keys.default_experts);
  moe.chosen = count(keys.chosen, std::min(ops::kMaxChosen, moe.experts), keys.default_chosen);
  if (c.gguf()) {
    const uint32_t dense = spec.layers.empty() ? 0 : spec.layers[layer].ffn.width;
    moe.width = c.layer_count(keys.width, layer, 1, kMaxWidth, std::max(dense, 1u));
    moe.scale = static_cast<float>(c.number({"", "expert_weights_scale"}, 1e-9, 1e9, 1));
    const std::string prefix = "blk." + std::to_string(layer) + ".";
    moe.router_bias = c.has_tensor(prefix + "ffn_gate_inp.bias");
    moe.up_bias = c.has_tensor(prefix + "ffn_up_exps.bias") || c.has_tensor(prefix + "ffn_gate_up_exps.bias");
    moe.down_bias = c.has_tensor(prefix + "ffn_down_exps.bias");
    moe.selection_bias = has_in_layers(c.source(), kGgufNames.selection_bias);
  } else {
    moe.width = count(keys.width, kMaxWidth, keys.default_width);
  }
  if (!spec.layers.empty()) moe.activation = spec.layers[0].ffn.activation;
  return moe;
}

void read_router(Config& c, MoeSpec& moe, const RouterDefaults& defaults) {
  const bool grouped = c.gguf() || defaults.grouped;
  if (grouped) moe.groups = c.count({"n_group", "expert_group_count"}, 1, moe.experts, c.gguf() ? 1 : defaults.groups);
  const Key groups_chosen{"topk_group", "expert_group_used_count"};
  const bool all = c.gguf() || defaults.groups_chosen == 0;
  const uint32_t usual = all ? moe.groups : std::min(defaults.groups_chosen, moe.groups);
  moe.groups_chosen = grouped ? c.count(groups_chosen, 1, moe.groups, usual) : 1;
  moe.group_score = ops::GroupScore::kSumOfTwo;
  if (moe.experts % moe.groups != 0)
    c.fail_key({"n_group", "expert_group_count"},
               "expected a divisor of the " + std::to_string(moe.experts) + " experts, found " + std::to_string(moe.groups));
  else if (moe.chosen > moe.groups_chosen * (moe.experts / moe.groups))
    c.fail_key(groups_chosen, std::to_string(moe.groups_chosen) + " groups hold fewer than the " +
                                  std::to_string(moe.chosen) + " experts of a token");
  const double scale = c.gguf() ? 1 : defaults.scale;
  moe.scale = static_cast<float>(c.number({"routed_scaling_factor", "expert_weights_scale"}, 1e-9, 1e9, scale));
  const Key normalize{"norm_topk_prob", defaults.gguf_normalize_key ? "expert_weights_norm" : ""};
  moe.normalize = c.flag(normalize, defaults.normalize);
  if (!c.gguf()) return;
  const uint32_t kind = c.count({"", "expert_gating_func"}, 1, 3, 0);
  if (kind == 1) moe.score = ops::RouterScore::kSoftmax;
  if (kind == 2) moe.score = ops::RouterScore::kSigmoid;
  if (kind == 3) moe.score = ops::RouterScore::kSoftmaxOfChosen;
}

void drop_prediction_layers(Config& c, ModelSpec& spec) {
  if (!c.gguf() || spec.layers.empty()) return;
  const auto most = static_cast<uint32_t>(spec.layers.size()) - 1;
  spec.layers.resize(spec.layers.size() - c.count({"", "nextn_predict_layers"}, 0, most, 0));
}

bool is_sparse_layer(Config& c, uint32_t layer) {
  if (c.gguf()) return true;
  if (auto list = c.json().find("mlp_only_layers"); list != c.json().end() && list->is_array())
    for (const auto& entry : *list)
      if (entry.is_number_unsigned() && entry.get<uint64_t>() == layer) return false;
  return (layer + 1) % c.count({"decoder_sparse_step", ""}, 1, UINT32_MAX, 1) == 0;
}

void use_experts(LayerSpec& layer, const MoeSpec& moe) {
  layer.ffn_kind = FfnKind::kExperts;
  layer.moe = moe;
  layer.ffn = {};
}

BlockRoles expert_roles(const ModelSpec& spec, const MoeSpec& moe, const ModelSource& source, const ExpertNames& names) {
  return Roles(spec, moe, source, names).build();
}

LayerRoles expert_layer_roles(const ModelSpec& spec, uint32_t layer, const ModelSource& source, const ExpertNames& names) {
  LayerRoles roles;
  const LayerSpec& l = spec.layers[layer];
  if (l.ffn_kind == FfnKind::kExperts) roles.ffn = expert_roles(spec, l.moe, source, names);
  return roles;
}

}  // namespace lahar::arch
