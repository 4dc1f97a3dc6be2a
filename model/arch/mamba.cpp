// Mamba, and Falcon Mamba, whose step sizes, B and C are normed.
#include <algorithm>
#include <nlohmann/json.hpp>

#include "arch/ssm.h"

namespace lahar::arch {

namespace {

constexpr std::string_view kGguf[] = {"mamba"}, kHf[] = {"mamba", "falcon_mamba"};
constexpr uint32_t kContext = 1u << 20;  // nothing limits it

uint32_t read_dt_rank(Config& c, const ModelSpec& spec) {
  const Key key{"time_step_rank", "ssm.time_step_rank"};
  const uint32_t derived = (spec.hidden + 15) / 16;
  if (!c.gguf() && c.has(key) && c.json().at("time_step_rank").is_string()) return derived;  // "auto"
  return c.count(key, 1, kMaxHidden, derived);
}

void read(Config& c, ModelSpec& spec) {
  read_sizes(c, spec,
             {.eps = {"layer_norm_epsilon", "attention.layer_norm_rms_epsilon"},
              .default_context = kContext,
              .default_eps = 1e-5,
              .default_tied = true});
  SsmSpec s;
  s.state = c.count({"state_size", "ssm.state_size"}, 1, 1024, 16);
  s.conv = c.count({"conv_kernel", "ssm.conv_kernel"}, 2, 8, 4);
  s.dt_rank = read_dt_rank(c, spec);
  const uint32_t expanded = c.gguf() ? 0 : c.count({"expand", ""}, 1, 64, 2) * spec.hidden;
  s.inner = c.gguf() ? c.count({"", "ssm.inner_size"}, 1, kMaxWidth)
                     : c.count({"intermediate_size", ""}, 1, kMaxWidth, std::max(expanded, 1u));
  s.conv_bias = c.gguf() || c.flag({"use_conv_bias", ""}, true);
  s.in_bias = s.out_bias = !c.gguf() && c.flag({"use_bias", ""}, false);
  s.inner_norms = c.gguf() ? c.flag({"", "ssm.dt_b_c_rms"}, false) : c.source().architecture() == "falcon_mamba";
  s.inner_norm_eps = c.gguf() ? spec.norm.eps : static_cast<float>(c.number({"mixer_rms_eps", ""}, 1e-30, 1, 1e-6));
  require_silu(c, {"hidden_act", ""});
  if (s.inner % 4 != 0)
    c.fail(ErrorCode::kUnsupported,
           "Mamba layers of " + std::to_string(s.inner) + " channels are not supported; multiples of 4 are");
  for (LayerSpec& layer : spec.layers) {
    layer.mixer = Mixer::kMamba;
    layer.ssm = s;
    drop_ffn(layer);
  }
}

LayerRoles roles(const ModelSpec& spec, uint32_t layer, const ModelSource& source) {
  return {.mixer = mamba_roles(spec, spec.layers[layer], source.gguf() != nullptr, "mixer."), .ffn = {}};
}

}  // namespace

const Architecture kMamba{"mamba", kGguf, kHf, read, adapt_mamba, roles};

}  // namespace lahar::arch
