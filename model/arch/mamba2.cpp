// Mamba-2: layers of nothing but the mixer.
#include "arch/ssm.h"

namespace lahar::arch {

namespace {

constexpr std::string_view kNames[] = {"mamba2"};
constexpr uint32_t kContext = 1u << 20;  // nothing limits it

void read(Config& c, ModelSpec& spec) {
  read_sizes(
      c, spec,
      {.eps = {"layer_norm_epsilon", "attention.layer_norm_rms_epsilon"}, .default_context = kContext, .default_eps = 1e-5});
  const SsmSpec ssm = read_mamba2(c, spec,
                                  {.state = {"state_size", "ssm.state_size"},
                                   .conv = {"conv_kernel", "ssm.conv_kernel"},
                                   .heads = {"num_heads", "ssm.time_step_rank"},
                                   .head_dim = {"head_dim", ""},
                                   .groups = {"n_groups", "ssm.group_count"},
                                   .expand = {"expand", ""},
                                   .conv_bias = {"use_conv_bias", ""},
                                   .in_bias = {"use_bias", ""},
                                   .out_bias = {"use_bias", ""},
                                   .default_state = 128,
                                   .default_heads = 128,
                                   .default_groups = 8});
  for (LayerSpec& layer : spec.layers) {
    use_mamba2(layer, ssm);
    drop_ffn(layer);
  }
}

LayerRoles roles(const ModelSpec& spec, uint32_t layer, const ModelSource& source) {
  return {.mixer = mamba2_roles(spec, spec.layers[layer], source.gguf() != nullptr, "mixer."), .ffn = {}};
}

}  // namespace

const Architecture kMamba2{"mamba2", kNames, kNames, read, adapt_mamba, roles};

}  // namespace lahar::arch
