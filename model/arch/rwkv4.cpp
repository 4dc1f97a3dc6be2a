// RWKV-4 (Hugging Face's "rwkv"). With rescale_every, the reference halves the residual stream behind every so many layers,
// and what the layers add to it, to keep fp16 in its range. Here the stream stays as it is: a norm of its half is the norm
// of itself with four times the eps.
#include "blocks/rwkv4.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "arch/common.h"

namespace lahar::arch {

namespace {

constexpr std::string_view kHf[] = {"rwkv"};

float to_decay(float v) { return -std::exp(v); }
float to_previous(float v) { return 1 - v; }  // files have the current token's part

constexpr float kFinalEps = 1e-5f;  // of the final norm, whatever is configured

// 0: never.
uint32_t rescaling_period(const Config& c) {
  const auto found = c.json().find("rescale_every");
  if (found == c.json().end() || !found->is_number_integer()) return 6;
  return static_cast<uint32_t>(std::clamp<int64_t>(found->get<int64_t>(), 0, UINT32_MAX));
}

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
  const uint32_t every = rescaling_period(c);
  const auto grown = [&](float eps, size_t layers) {
    const int halved = every == 0 ? 0 : static_cast<int>(std::min<size_t>(layers / every, 30));
    return std::ldexp(eps, 2 * halved);
  };
  spec.final_norm_eps = grown(kFinalEps, spec.layers.size());
  for (size_t i = 0; i < spec.layers.size(); ++i) {
    LayerSpec& layer = spec.layers[i];
    layer.norm_eps = grown(spec.norm.eps, i);
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
