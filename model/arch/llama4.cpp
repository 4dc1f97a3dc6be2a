// Llama 4 (text, and the text half of the multimodal files): attention in chunks of positions, but for every fourth layer,
// which sees all, rotates nothing and scales its queries with the position; one expert a token, whose input is weighted,
// beside a shared one.
#include <nlohmann/json.hpp>

#include "arch/experts.h"

namespace lahar::arch {

namespace {

constexpr std::string_view kGguf[] = {"llama4"}, kHf[] = {"llama4_text", "llama4"};

// Entry `layer` of a list of numbers; nullopt where there is no list.
std::optional<uint64_t> entry_of(Config& c, const char* key, size_t layer) {
  auto list = c.json().find(key);
  if (list == c.json().end() || !list->is_array() || list->empty()) return std::nullopt;
  if (layer < list->size() && (*list)[layer].is_number_unsigned()) return (*list)[layer].get<uint64_t>();
  c.fail_key({key, ""}, "expected one number a layer that is not negative");
  return std::nullopt;
}

bool rotates(Config& c, uint32_t layer) {
  if (c.gguf()) return c.count({"", "attention.sliding_window"}, 0, UINT32_MAX, 1) == 0 || (layer + 1) % 4 != 0;
  if (const auto rotated = entry_of(c, "no_rope_layers", layer)) return *rotated != 0;
  return (layer + 1) % c.count({"no_rope_layer_interval", ""}, 1, UINT32_MAX, 4) != 0;
}

// 0: the layer sees all positions.
uint32_t chunk_of(Config& c, uint32_t layer, bool rotated) {
  if (c.gguf()) {
    if (c.count({"", "attention.sliding_window"}, 0, UINT32_MAX, 1) == 0) return 0;
    return sliding_by_pattern(c, layer, 4) ? 8192 : 0;
  }
  bool chunked = rotated;
  if (auto types = c.json().find("layer_types"); types != c.json().end() && types->is_array() && layer < types->size()) {
    chunked = (*types)[layer] == "chunked_attention";
    if (!chunked && (*types)[layer] != "full_attention")
      c.fail(ErrorCode::kUnsupported, "config.json: layer_types: full_attention and chunked_attention are supported");
  }
  return chunked ? c.count({"attention_chunk_size", ""}, 1, UINT32_MAX, 8192) : 0;
}

bool has_experts(Config& c, uint32_t layer) {
  auto list = c.json().find("moe_layers");
  if (list != c.json().end() && list->is_array())
    return std::any_of(list->begin(), list->end(), [&](const auto& entry) {
      return entry.is_number_unsigned() && entry.template get<uint64_t>() == layer;
    });
  return (layer + 1) % c.count({"interleave_moe_layer_step", "interleave_moe_layer_step"}, 1, UINT32_MAX, 1) == 0;
}

void read(Config& c, ModelSpec& spec) {
  read_common(c, spec,
              {.width = {"intermediate_size_mlp", "feed_forward_length"},
               .default_kv_heads = c.gguf() ? 0u : 8u,
               .default_head_dim = 128,
               .default_context = 131072,
               .default_width = 16384,
               .default_eps = 1e-5});
  use_one_rope(c, spec, {.default_base = c.gguf() ? 10000.0 : 500000.0, .interleaved = true});
  read_attention_bias(c, spec);
  MoeSpec moe = read_moe(c, spec,
                         {.experts = {"num_local_experts", "expert_count"},
                          .width = {"intermediate_size", "expert_feed_forward_length"},
                          .default_experts = 16,
                          .default_chosen = 1,
                          .default_width = 8192});
  moe.score = ops::RouterScore::kSigmoid;
  moe.weighted_input = true;
  moe.shared_width = moe.width;
  // The model of 128 experts has no norms of q and k; GGUF does not say so.
  const bool normed = c.gguf() ? moe.experts != 128 : c.flag({"use_qk_norm", ""}, true);
  // Early files have a number here.
  const Key tuning{"attn_temperature_tuning", ""};
  const auto stated = c.json().find(tuning.hf);
  const bool numeric = stated != c.json().end() && stated->is_number();
  const bool tuned = numeric ? c.number(tuning, -1e9, 1e9, 0) != 0 : c.flag(tuning, true);
  for (uint32_t i = 0; i < spec.layers.size() && c.status().ok(); ++i) {
    AttentionSpec& a = spec.layers[i].attention;
    const bool rotated = rotates(c, i);
    a.chunk = chunk_of(c, i, rotated);
    if (!rotated) {
      a.rope = -1;
      if (tuned) a.temperature = static_cast<float>(c.number({"attn_scale", ""}, 0, 1e6, 0.1));
      a.temperature_floor = static_cast<float>(c.number({"floor_scale", ""}, 1, 1e9, 8192));
    } else if (normed) {
      a.qk_norm = ops::QkNorm::kPerHead;
      a.qk_norm_weight = false;
      a.qk_norm_after_rope = true;
    }
    if (has_experts(c, i)) use_experts(spec.layers[i], moe);
  }
}

void adapt(const ModelSpec&, bool gguf, TensorLayout& layout) {
  layout.scaled_ffn = false;
  if (gguf) return;
  layout.names.gate = "feed_forward.gate_proj";
  layout.names.up = "feed_forward.up_proj";
  layout.names.down = "feed_forward.down_proj";
}

LayerRoles roles(const ModelSpec& spec, uint32_t layer, const ModelSource& source) {
  constexpr ExpertNames kNames{.router = "feed_forward.router",
                               .experts = "feed_forward.experts.",
                               .all_gate_up = "feed_forward.experts.gate_up_proj",
                               .all_down = "feed_forward.experts.down_proj",
                               .transposed = true,
                               .shared_gate = "feed_forward.shared_expert.gate_proj",
                               .shared_up = "feed_forward.shared_expert.up_proj",
                               .shared_down = "feed_forward.shared_expert.down_proj"};
  return expert_layer_roles(spec, layer, source, kNames);
}

}  // namespace

const Architecture kLlama4{"llama4", kGguf, kHf, read, adapt, roles};

}  // namespace lahar::arch
