// gpt-oss: every second layer slides; learned sinks beside the keys; experts with biases and a clamped SwiGLU.
#include "arch/experts.h"

namespace lahar::arch {

namespace {

constexpr std::string_view kGguf[] = {"gpt-oss"}, kHf[] = {"gpt_oss"};

void read(Config& c, ModelSpec& spec) {
  read_common(
      c, spec,
      {.default_kv_heads = c.gguf() ? 0u : 8u, .default_head_dim = 64, .default_context = 131072, .default_eps = 1e-5});
  // Without any word on RoPE in config.json, that of the published models.
  const bool stated = c.gguf() || c.has({"rope_parameters", ""}) || c.has({"rope_scaling", ""});
  use_one_rope(c, spec, {.default_base = 150000, .plain = !stated});
  if (!stated && !spec.ropes.empty()) {
    RopeConfig& rope = spec.ropes[0].config;
    rope.scaling = RopeScaling::kYarn;
    rope.factor = 32;
    rope.trained_context = spec.context_length;
    rope.original_context = 4096;
    rope.truncate = false;
  }
  read_attention_bias(c, spec, true);
  MoeSpec moe = read_moe(c, spec,
                         {.experts = {"num_local_experts", "expert_count"},
                          .width = {"intermediate_size", "expert_feed_forward_length"},
                          .default_experts = 128,
                          .default_chosen = 4,
                          .default_width = 2880});
  moe.score = ops::RouterScore::kSoftmaxOfChosen;
  if (!c.gguf()) moe.router_bias = moe.up_bias = moe.down_bias = true;
  moe.clamp = static_cast<float>(c.number({"swiglu_limit", ""}, 1e-6, 1e9, 7));
  moe.alpha = static_cast<float>(c.number({"swiglu_alpha", ""}, 1e-6, 1e6, 1.702));
  const uint32_t window = read_window(c, 128);
  for (uint32_t i = 0; i < spec.layers.size() && c.status().ok(); ++i) {
    AttentionSpec& a = spec.layers[i].attention;
    a.sinks = true;
    if (sliding_by_pattern(c, i, 2)) a.window = window;
    use_experts(spec.layers[i], moe);
  }
}

void adapt(const ModelSpec&, bool gguf, TensorLayout& layout) {
  if (gguf) {
    layout.names.pre_ffn = "post_attention_norm";
    layout.names.post_attention = "";
  }
}

LayerRoles roles(const ModelSpec& spec, uint32_t layer, const ModelSource& source) {
  constexpr ExpertNames kNames{
      .router = "mlp.router", .gate = "", .up = "", .down = "", .transposed = true, .interleaved = true};
  return expert_layer_roles(spec, layer, source, kNames);
}

}  // namespace

const Architecture kGptOss{"gpt_oss", kGguf, kHf, read, adapt, roles};

}  // namespace lahar::arch
