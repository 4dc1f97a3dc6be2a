// MiniMax M2: sigmoid scores with a bias for the choice, RMSNorm over all heads of q and of k together, RoPE on a part of
// each head.
#include "arch/experts.h"

namespace lahar::arch {

namespace {

constexpr std::string_view kGguf[] = {"minimax-m2"}, kHf[] = {"minimax_m2"};

void read(Config& c, ModelSpec& spec) {
  read_common(
      c, spec,
      {.default_kv_heads = c.gguf() ? 0u : 8u, .default_head_dim = 128, .default_context = 196608, .default_width = 1});
  use_one_rope(c, spec, {.default_base = c.gguf() ? 10000.0 : 5e6, .partial = true});
  if (const Key dims{"rotary_dim", ""}; c.has(dims) && !spec.ropes.empty())
    spec.ropes[0].dims = c.count(dims, 2, spec.layers[0].attention.head_dim) / 2 * 2;
  MoeSpec moe = read_moe(c, spec,
                         {.experts = {"num_local_experts", "expert_count"},
                          .width = {"intermediate_size", "expert_feed_forward_length"},
                          .default_experts = 256,
                          .default_chosen = 8,
                          .default_width = 1536});
  moe.score = ops::RouterScore::kSigmoid;
  moe.selection_bias = true;
  read_router(c, moe, {.normalize = true, .gguf_normalize_key = false});
  for (LayerSpec& layer : spec.layers) {
    layer.attention.qk_norm = ops::QkNorm::kFull;
    use_experts(layer, moe);
  }
}

LayerRoles roles(const ModelSpec& spec, uint32_t layer, const ModelSource& source) {
  const bool memory = named_as_in_memory(source);
  ExpertNames names = memory ? ExpertNames{} : kMixtralExperts;
  names.selection_bias = memory ? "mlp.e_score_correction_bias" : "block_sparse_moe.e_score_correction_bias";
  return expert_layer_roles(spec, layer, source, names);
}

}  // namespace

const Architecture kMiniMaxM2{"minimax_m2", kGguf, kHf, read, nullptr, roles};

}  // namespace lahar::arch
