#include "arch/mla_config.h"

#include <cmath>

namespace lahar::arch {
namespace {

// YaRN makes the scores sharper by a factor that is squared, as it belongs to q and k alike; what cos and sin are multiplied
// by is another number. Formulas: modeling_deepseek of DeepSeek-V2 and V3; GGUF's key holds a tenth of the multiplier.
double yarn_scale(Config& c, RopeConfig& rope) {
  if (rope.scaling != RopeScaling::kYarn || rope.factor <= 1) return 1;
  const double logarithm = std::log(rope.factor);
  if (!c.gguf()) {
    const double m = 1 + 0.1 * rope.mscale_all_dim * logarithm;
    return rope.mscale_all_dim == 0 ? 1 : m * m;
  }
  const double multiplier = 10 * c.number({"", "rope.scaling.yarn_log_multiplier"}, 0, 1e3, 0);
  if (multiplier > 0) rope.attention_factor = 1;
  const double m = multiplier > 0 ? 1 + 0.1 * multiplier * logarithm : rope.attention_factor;
  return m * m;
}

MlaSpec read_mla_sizes(Config& c, const ModelSpec& spec) {
  MlaSpec m;
  const Key q_rank{"q_lora_rank", "attention.q_lora_rank"}, latent{"kv_lora_rank", "attention.kv_lora_rank"};
  const Key rope_dim{"qk_rope_head_dim", "rope.dimension_count"};
  if (c.gguf()) {
    m.q_rank = c.count(q_rank, 0, kMaxHidden, 0);
    m.latent_dim = c.count(latent, 4, kMaxHeadDim);
    m.rope_dim = c.count(rope_dim, 4, kMaxHeadDim);
    // Files that hold the up-projections apart tell what their product is under keys of its own.
    const bool apart = c.count({"", "attention.key_length_mla"}, 0, kMaxHeadDim, 0) > 0;
    const uint32_t key = c.count({"", apart ? "attention.key_length_mla" : "attention.key_length"}, 8, kMaxHeadDim);
    if (key <= m.rope_dim) c.fail_key({"", "attention.key_length"}, "expected more than the dims that are rotated");
    m.nope_dim = key - std::min(key, m.rope_dim);
    m.value_dim = c.count({"", apart ? "attention.value_length_mla" : "attention.value_length"}, 4, kMaxHeadDim);
    m.keys_by_latent = c.has_tensor("blk.0.attn_k_b.weight");
  } else {
    // null says that queries are projected directly; a key that is missing does not.
    m.q_rank = c.count(q_rank, 0, kMaxHidden, c.is_null(q_rank) ? 0 : 1536);
    m.latent_dim = c.count(latent, 4, kMaxHeadDim, 512);
    m.rope_dim = c.count(rope_dim, 4, kMaxHeadDim, 64);
    m.nope_dim = c.count({"qk_nope_head_dim", ""}, 4, kMaxHeadDim, 128);
    m.value_dim = c.count({"v_head_dim", ""}, 4, kMaxHeadDim, 128);
  }
  m.eps = c.gguf() ? spec.norm.eps : 1e-6f;  // modeling_deepseek's own, whatever rms_norm_eps says
  const uint32_t dims[] = {m.q_rank, m.latent_dim, m.rope_dim, m.nope_dim, m.value_dim};
  for (const uint32_t dim : dims)
    if (dim % 4 != 0)
      c.fail(ErrorCode::kUnsupported,
             "latent attention with " + std::to_string(dim) + " dims; multiples of 4 are supported");
  if (m.value_dim > m.latent_dim + m.rope_dim)
    c.fail(ErrorCode::kUnsupported, "latent attention with values wider than a page's row");
  return m;
}

}  // namespace

Common mla_common() {
  return {.head_dim = {"qk_rope_head_dim", "rope.dimension_count"}, .value_dim = {"", ""}, .default_head_dim = 64};
}

void read_mla(Config& c, ModelSpec& spec) {
  const MlaSpec m = read_mla_sizes(c, spec);
  const bool interleaved = c.gguf() || c.flag({"rope_interleave", ""}, true);
  const int32_t rope = add_rope(c, spec, {.gguf_interleaved = true, .interleaved = interleaved});
  if (!c.status().ok() || rope < 0) return;
  const double sharper = yarn_scale(c, spec.ropes[static_cast<size_t>(rope)].config);
  for (LayerSpec& layer : spec.layers) {
    layer.mixer = Mixer::kMla;
    layer.mla = m;
    AttentionSpec& a = layer.attention;
    a.kv_heads = 1;
    a.head_dim = m.latent_dim + m.rope_dim;
    a.scale = static_cast<float>(sharper / std::sqrt(static_cast<double>(m.nope_dim + m.rope_dim)));
    a.rope = rope;
  }
}

BlockRoles mla_roles(const ModelSpec& spec, const LayerSpec& layer, const ModelSource& source) {
  const MlaSpec& m = layer.mla;
  const bool gguf = source.gguf() != nullptr;
  const uint32_t heads = layer.attention.heads, latent = m.latent_dim;
  const auto name = [&](const char* in_gguf, const char* in_hf) { return std::string(gguf ? in_gguf : in_hf); };
  const auto matrix = [](std::string tensor, uint32_t rows, uint32_t cols, bool keep_type = false) {
    return LinearRole{.stacked = {{.name = std::move(tensor), .rows = rows, .cols = cols}}, .keep_type = keep_type};
  };
  const auto with_bias = [](LinearRole role, bool bias) {
    role.stacked[0].bias = bias;
    return role;
  };
  const bool down_bias = !gguf && layer.attention.qkv_bias, output_bias = !gguf && layer.attention.output_bias;
  const auto scaled = [](LinearRole role) {
    role.stacked[0].scaled = true;
    return role;
  };
  const uint32_t queries = heads * (m.nope_dim + m.rope_dim), hidden = spec.hidden;
  BlockRoles roles;
  if (m.q_rank > 0) {
    roles.linears.push_back(with_bias(matrix(name("attn_q_a", "self_attn.q_a_proj"), m.q_rank, hidden), down_bias));
    roles.linears.push_back(matrix(name("attn_q_b", "self_attn.q_b_proj"), queries, m.q_rank));
  } else {
    roles.linears.push_back({});
    roles.linears.push_back(matrix(name("attn_q", "self_attn.q_proj"), queries, hidden));
  }
  roles.linears.push_back(
      with_bias(matrix(name("attn_kv_a_mqa", "self_attn.kv_a_proj_with_mqa"), latent + m.rope_dim, hidden), down_bias));
  if (m.keys_by_latent) {
    roles.linears.push_back(matrix("attn_k_b", heads * latent, m.nope_dim, true));
    roles.linears.push_back(matrix("attn_v_b", heads * m.value_dim, latent, true));
  } else {
    // For each head the rows of its keys, then those of its values.
    const uint32_t group = m.nope_dim + m.value_dim;
    LinearRole keys = matrix(name("attn_kv_b", "self_attn.kv_b_proj"), heads * group, latent, true), values = keys;
    for (uint32_t h = 0; h < heads; ++h) {
      keys.stacked[0].runs.push_back({h * group, m.nope_dim});
      values.stacked[0].runs.push_back({h * group + m.nope_dim, m.value_dim});
    }
    roles.linears.push_back(std::move(keys));
    roles.linears.push_back(std::move(values));
  }
  roles.linears.push_back(
      with_bias(scaled(matrix(name("attn_output", "self_attn.o_proj"), hidden, heads * m.value_dim)), output_bias));
  roles.vectors = {{name("attn_q_a_norm.weight", "self_attn.q_a_layernorm.weight"), Shape{m.q_rank}},
                   {name("attn_kv_a_norm.weight", "self_attn.kv_a_layernorm.weight"), Shape{latent}}};
  if (m.q_rank == 0) roles.vectors[0].name.clear();
  return roles;
}

}  // namespace lahar::arch
