// Granite 4: Mamba-2 in most layers, attention in some, mostly without positions; experts with a shared one, or the shared
// one alone.
#include <nlohmann/json.hpp>

#include "arch/experts.h"
#include "arch/ssm.h"

namespace lahar::arch {

namespace {

constexpr std::string_view kGguf[] = {"granitehybrid"}, kHf[] = {"granitemoehybrid"};

bool is_mamba_layer(Config& c, uint32_t layer) {
  if (c.gguf()) return c.layer_count({"", "attention.head_count_kv"}, layer, 0, kMaxHeads) == 0;
  const auto types = c.json().find("layer_types");
  if (types == c.json().end() || types->is_null()) return true;
  if (types->is_array() && layer < types->size()) {
    const nlohmann::json& type = (*types)[layer];
    if (type == "mamba" || type == "linear_attention") return true;
    if (type == "attention" || type == "full_attention") return false;
  }
  c.fail_key({"layer_types", ""}, "expected \"mamba\" or \"attention\" for each layer");
  return false;
}

void read_ffn(Config& c, ModelSpec& spec) {
  const uint32_t shared =
      c.count({"shared_intermediate_size", "expert_shared_feed_forward_length"}, 0, kMaxWidth, c.gguf() ? 0 : 1024);
  if (c.count({"num_local_experts", "expert_count"}, 0, 512, c.gguf() ? 0 : 8) == 0) {
    if (!c.gguf())
      for (LayerSpec& layer : spec.layers) layer.ffn.width = shared;
    return;
  }
  MoeSpec moe = read_moe(c, spec,
                         {.experts = {"num_local_experts", "expert_count"},
                          .width = {"intermediate_size", "expert_feed_forward_length"},
                          .default_experts = 8,
                          .default_chosen = 2});
  moe.score = ops::RouterScore::kSoftmaxOfChosen;
  moe.shared_width = shared;
  for (LayerSpec& layer : spec.layers) use_experts(layer, moe);
}

void read(Config& c, ModelSpec& spec) {
  kGranite.read(c, spec);
  const SsmSpec ssm = read_mamba2(c, spec, {.default_state = 256, .default_heads = 128});
  if (!c.gguf() && c.text({"position_embedding_type", ""}, "") != "rope") spec.ropes.clear();
  for (uint32_t i = 0; i < spec.layers.size() && c.status().ok(); ++i) {
    if (spec.ropes.empty()) spec.layers[i].attention.rope = -1;
    if (is_mamba_layer(c, i)) use_mamba2(spec.layers[i], ssm);
  }
  read_ffn(c, spec);
}

void adapt(const ModelSpec& spec, bool gguf, TensorLayout& layout) {
  kGranite.adapt(spec, gguf, layout);
  if (gguf) return;
  layout.names.gate = layout.names.up = "";
  layout.names.gate_up = "shared_mlp.input_linear";
  layout.names.down = "shared_mlp.output_linear";
}

LayerRoles roles(const ModelSpec& spec, uint32_t index, const ModelSource& source) {
  const LayerSpec& layer = spec.layers[index];
  LayerRoles roles;
  if (layer.ffn_kind == FfnKind::kExperts) roles = expert_layer_roles(spec, index, source, kGraniteExperts);
  if (layer.mixer == Mixer::kMamba2) roles.mixer = mamba2_roles(spec, layer, source.gguf() != nullptr, "mamba.");
  return roles;
}

}  // namespace

const Architecture kGraniteHybrid{"granitemoehybrid", kGguf, kHf, read, adapt, roles};

}  // namespace lahar::arch
