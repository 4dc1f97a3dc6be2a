// Mixtral: Llama whose feed-forward is experts; the weights of the chosen ones sum to 1. GGUF files of it say llama.
#include "arch/experts.h"

namespace lahar::arch {

namespace {

constexpr std::string_view kHf[] = {"mixtral"};

void read(Config& c, ModelSpec& spec) {
  read_common(c, spec, {.default_kv_heads = 8, .default_context = 131072, .default_eps = 1e-5});
  use_one_rope(c, spec, {.default_base = 1e6});
  MoeSpec moe = read_moe(c, spec,
                         {.experts = {"num_local_experts", ""},
                          .width = {"intermediate_size", ""},
                          .default_experts = 8,
                          .default_chosen = 2,
                          .default_width = 14336});
  moe.normalize = true;
  const uint32_t window = read_window(c, 0);
  for (LayerSpec& layer : spec.layers) {
    layer.attention.window = window;
    use_experts(layer, moe);
  }
}

LayerRoles roles(const ModelSpec& spec, uint32_t layer, const ModelSource& source) {
  return expert_layer_roles(spec, layer, source, named_as_in_memory(source) ? ExpertNames{} : kMixtralExperts);
}

}  // namespace

const Architecture kMixtral{"mixtral", {}, kHf, read, nullptr, roles};

}  // namespace lahar::arch
