// Granite with experts: the softmax is over the chosen ones alone; some have a shared expert.
#include "arch/experts.h"

namespace lahar::arch {

namespace {

constexpr std::string_view kGguf[] = {"granitemoe"}, kHf[] = {"granitemoe", "granitemoeshared"};

void read(Config& c, ModelSpec& spec) {
  kGranite.read(c, spec);
  if (c.gguf() && c.count({"", "expert_count"}, 0, ops::kMaxExperts, 0) == 0) return;
  MoeSpec moe = read_moe(c, spec,
                         {.experts = {"num_local_experts", "expert_count"},
                          .width = {"intermediate_size", "expert_feed_forward_length"},
                          .default_experts = 8,
                          .default_chosen = 2});
  moe.score = ops::RouterScore::kSoftmaxOfChosen;
  moe.shared_width = c.count({"shared_intermediate_size", "expert_shared_feed_forward_length"}, 0, kMaxWidth, 0);
  for (LayerSpec& layer : spec.layers) use_experts(layer, moe);
}

void adapt(const ModelSpec& spec, bool gguf, TensorLayout& layout) { kGranite.adapt(spec, gguf, layout); }

LayerRoles roles(const ModelSpec& spec, uint32_t layer, const ModelSource& source) {
  return expert_layer_roles(spec, layer, source, kGraniteExperts);
}

}  // namespace

const Architecture kGraniteMoe{"granitemoe", kGguf, kHf, read, adapt, roles};

}  // namespace lahar::arch
