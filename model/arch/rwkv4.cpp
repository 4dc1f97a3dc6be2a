// RWKV-4 (Hugging Face's "rwkv"). rescale_every halves weights and residual stream every so many layers, which only keeps
// fp16 in its range: it is left out.
#include "blocks/rwkv4.h"

#include <cmath>

#include "arch/common.h"

namespace lahar::arch {

namespace {

constexpr std::string_view kHf[] = {"rwkv"};

float to_decay(float v) { return -std::exp(v); }
float to_previous(float v) { return 1 - v; }  // files have the current token's part

void read(Config& c, ModelSpec& spec) {
  read_sizes(
      c, spec,
      {.context = {"context_length", ""}, .eps = {"layer_norm_epsilon", ""}, .default_context = 1024, .default_eps = 1e-5});
  spec.norm.kind = ops::NormKind::kLayer;
  spec.norm.bias = spec.embedding_norm = true;
  RwkvSpec rwkv;
  const auto optional = [&](std::string_view key, uint32_t fallback) {
    return c.has({key, ""}) ? c.count({key, ""}, 1, kMaxWidth) : fallback;
  };
  rwkv.inner = optional("attention_hidden_size", spec.hidden);
  rwkv.width = optional("intermediate_size", 4 * spec.hidden);
  if (spec.hidden % 4 != 0 || rwkv.inner % 4 != 0)
    c.fail(ErrorCode::kUnsupported, "hidden sizes that are no multiple of 4 are not supported");
  for (LayerSpec& layer : spec.layers) {
    layer.mixer = Mixer::kRwkv4;
    layer.ffn_kind = FfnKind::kRwkv4;
    layer.rwkv = rwkv;
  }
}

void adapt(const ModelSpec&, bool, TensorLayout& layout) {
  layout.names.embedding = "embeddings";
  layout.names.embedding_norm = "blocks.0.pre_ln";
  layout.names.final_norm = "ln_out";
  layout.names.head = "head";
  layout.names.layer = "blocks.";
  layout.names.pre_attention = "ln1";
  layout.names.pre_ffn = "ln2";
}

LayerRoles roles(const ModelSpec& spec, uint32_t layer, const ModelSource&) {
  const RwkvSpec& r = spec.layers[layer].rwkv;
  const uint32_t h = spec.hidden;
  const auto linear = [](const char* name, uint32_t rows, uint32_t cols) {
    return LinearRole{.stacked = {{name, rows, cols, false, {}}}};
  };
  LayerRoles roles;
  roles.mixer.linears = {linear("attention.key", r.inner, h), linear("attention.value", r.inner, h),
                         linear("attention.receptance", r.inner, h), linear("attention.output", h, r.inner)};
  for (const char* name : {"attention.time_mix_key", "attention.time_mix_value", "attention.time_mix_receptance"})
    roles.mixer.vectors.push_back({name, Shape{h}, 0, to_previous});
  roles.mixer.vectors.push_back({"attention.time_decay", Shape{r.inner}, 0, to_decay});
  roles.mixer.vectors.push_back({"attention.time_first", Shape{r.inner}, 0, nullptr});
  roles.ffn.linears = {linear("feed_forward.key", r.width, h), linear("feed_forward.value", h, r.width),
                       linear("feed_forward.receptance", h, h)};
  for (const char* name : {"feed_forward.time_mix_key", "feed_forward.time_mix_receptance"})
    roles.ffn.vectors.push_back({name, Shape{h}, 0, to_previous});
  return roles;
}

}  // namespace

const Architecture kRwkv4{"rwkv4", {}, kHf, read, adapt, roles};

}  // namespace lahar::arch
