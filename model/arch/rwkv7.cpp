// RWKV-7. Hugging Face folders as flash-linear-attention writes them.
#include "blocks/rwkv7.h"

#include <algorithm>

#include "arch/common.h"

namespace lahar::arch {

namespace {

constexpr std::string_view kGguf[] = {"rwkv7"}, kHf[] = {"rwkv7"};

// Of the two matrices of a low-rank projection, in the order of Rwkv7Linear.
struct LowRank {
  std::string_view hf, gguf;
  uint32_t RwkvSpec::*rank;
};
constexpr LowRank kLowRanks[] = {{"w", "w", &RwkvSpec::decay_rank},
                                 {"a", "a", &RwkvSpec::rate_rank},
                                 {"v", "v", &RwkvSpec::mix_rank},
                                 {"g", "g", &RwkvSpec::gate_rank}};

std::string low_rank_name(const LowRank& l, bool up, bool gguf) {
  if (gguf) return "time_mix_" + std::string(l.gguf) + (up ? "2" : "1");
  return "attn." + std::string(l.hf) + "_lora.lora." + (up ? "2" : "0");
}

std::string prefix_of(const Config& c, uint32_t layer) {
  return (c.gguf() ? "blk." : "model.layers.") + std::to_string(layer) + ".";
}

// Ranks are what the tensors have: configurations may leave them out. The first layer has no value mix.
void read_ranks(Config& c, RwkvSpec& r, uint32_t layer) {
  for (const LowRank& l : kLowRanks) {
    if (l.rank == &RwkvSpec::mix_rank && layer == 0) continue;
    const std::string name = prefix_of(c, layer) + low_rank_name(l, false, c.gguf()) + ".weight";
    const TensorView* down = c.source().find_tensor(name);
    if (down == nullptr || down->shape.rank() != 2 || down->shape[0] == 0 || down->shape[0] > kMaxWidth) {
      c.fail(ErrorCode::kFormat, c.source().name() + ": tensor '" + name + "': expected a matrix of low rank");
      return;
    }
    r.*l.rank = static_cast<uint32_t>(down->shape[0]);
    r.most_rank = std::max(r.most_rank, r.*l.rank);
  }
}

uint32_t read_width(Config& c, uint32_t hidden) {
  const Key key{"intermediate_size", "feed_forward_length"};
  if (c.gguf() || c.has(key)) return c.count(key, 1, kMaxWidth);
  const auto width = static_cast<uint32_t>(hidden * c.number({"hidden_ratio", ""}, 0.01, 1000, 4));
  return (width + 31) / 32 * 32;
}

void read(Config& c, ModelSpec& spec) {
  read_sizes(c, spec, {.eps = {"norm_eps", "attention.layer_norm_epsilon"}, .default_context = 2048, .default_eps = 1e-5});
  spec.norm.kind = ops::NormKind::kLayer;
  spec.embedding_norm = true;
  spec.norm.bias = c.gguf() || c.flag({"norm_bias", ""}, true);
  if (!c.gguf() && !c.flag({"norm_first", ""}, true))
    c.fail(ErrorCode::kUnsupported, "config.json: norm_first: only true is supported");
  if (const std::string act = c.gguf() ? "sqrelu" : c.text({"hidden_act", ""}, "sqrelu"); act != "sqrelu" && act != "relu2")
    c.fail(ErrorCode::kUnsupported, "config.json: hidden_act: '" + act.substr(0, 40) + "' is not supported; sqrelu is");
  if (!c.gguf() && c.has({"attn", ""}))
    c.fail(ErrorCode::kUnsupported, "config.json: attn: layers of attention are not supported");
  RwkvSpec rwkv;
  const bool by_heads = !c.gguf() && !c.has({"head_dim", ""}) && c.has({"num_heads", ""});
  rwkv.head_dim = c.count({"head_dim", "wkv.head_size"}, 4, 256, 64);
  if (by_heads) rwkv.head_dim = spec.hidden / c.count({"num_heads", ""}, 1, kMaxHeads);
  if (rwkv.head_dim == 0 || rwkv.head_dim > 256 || rwkv.head_dim % 4 != 0 || spec.hidden % rwkv.head_dim != 0)
    c.fail(ErrorCode::kUnsupported, c.spelled({"head_dim", "wkv.head_size"}) + ": expected a multiple of 4 that divides " +
                                        std::to_string(spec.hidden) + ", found " + std::to_string(rwkv.head_dim));
  rwkv.heads = spec.hidden / std::max(rwkv.head_dim, 1u);
  if (!c.gguf()) rwkv.head_norm_eps = static_cast<float>(rwkv.head_dim) * spec.norm.eps;
  rwkv.width = read_width(c, spec.hidden);
  for (uint32_t i = 0; i < spec.layers.size() && c.status().ok(); ++i) {
    LayerSpec& layer = spec.layers[i];
    layer.mixer = Mixer::kRwkv7;
    layer.ffn_kind = FfnKind::kRwkv7;
    layer.rwkv = rwkv;
    read_ranks(c, layer.rwkv, i);
  }
}

void adapt(const ModelSpec&, bool gguf, TensorLayout& layout) {
  if (gguf) {
    layout.names.pre_ffn = "attn_norm_2";
    return;
  }
  layout.names.embedding = "embeddings";
  layout.names.embedding_norm = "layers.0.pre_norm";
  layout.names.pre_attention = "attn_norm";
  layout.names.pre_ffn = "ffn_norm";
}

LinearRole linear(const std::string& name, uint32_t rows, uint32_t cols) {
  return {.stacked = {{name, rows, cols, false, {}}}};
}

void add_vectors(BlockRoles& roles, const ModelSpec& spec, const RwkvSpec& r, bool first, bool gguf, bool fused) {
  const Shape all{spec.hidden};
  const auto add = [&](const std::string& name) { roles.vectors.push_back({name, all, 0, nullptr}); };
  if (fused) {
    roles.vectors.push_back({gguf ? "time_mix_lerp_fused.weight" : "attn.x_x", Shape{6, spec.hidden}, 0, nullptr});
    roles.vectors.resize(kRwkv7W0);
  } else {
    for (const char* name : {"r", "w", "k", "v", "a", "g"}) add("attn.x_" + std::string(name));
  }
  for (const char* name : {"w", "a", "v"}) {
    const bool absent = first && *name == 'v';
    if (absent) add("");
    else add(gguf ? "time_mix_" + std::string(name) + "0.weight" : "attn." + std::string(name) + "_lora.lora.2.bias");
  }
  for (const char* name : {"k_k", "k_a"})
    add(gguf ? "time_mix_" + std::string(name) + ".weight" : "attn." + std::string(name));
  const Shape by_head{r.heads, r.head_dim};
  roles.vectors.push_back({gguf ? "time_mix_r_k.weight" : "attn.r_k", gguf ? all : by_head, 0, nullptr});
  add(gguf ? "time_mix_ln.weight" : "attn.g_norm.weight");
  add(gguf ? "time_mix_ln.bias" : "attn.g_norm.bias");
}

LayerRoles roles(const ModelSpec& spec, uint32_t layer, const ModelSource& source) {
  const bool gguf = source.gguf() != nullptr, first = layer == 0;
  const RwkvSpec& r = spec.layers[layer].rwkv;
  const uint32_t h = spec.hidden;
  LayerRoles roles;
  for (const char* name : {"receptance", "key", "value"})
    roles.mixer.linears.push_back(
        linear(gguf ? "time_mix_" + std::string(name) : "attn." + std::string(1, *name) + "_proj", h, h));
  for (const LowRank& l : kLowRanks)
    for (const bool up : {false, true}) {
      const bool absent = first && l.rank == &RwkvSpec::mix_rank;
      const uint32_t rank = r.*l.rank;
      roles.mixer.linears.push_back(absent ? LinearRole{}
                                           : linear(low_rank_name(l, up, gguf), up ? h : rank, up ? rank : h));
    }
  roles.mixer.linears.push_back(linear(gguf ? "time_mix_output" : "attn.o_proj", h, h));
  const bool fused = gguf || source.find_tensor("model.layers." + std::to_string(layer) + ".attn.x_x") != nullptr;
  add_vectors(roles.mixer, spec, r, first, gguf, fused);
  roles.ffn.linears = {linear(gguf ? "channel_mix_key" : "ffn.key", r.width, h),
                       linear(gguf ? "channel_mix_value" : "ffn.value", h, r.width)};
  roles.ffn.vectors = {{gguf ? "channel_mix_lerp_k.weight" : "ffn.x_k", Shape{h}, 0, nullptr}};
  return roles;
}

}  // namespace

const Architecture kRwkv7{"rwkv7", kGguf, kHf, read, adapt, roles};

}  // namespace lahar::arch
