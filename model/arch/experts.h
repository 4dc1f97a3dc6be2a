// Experts in a configuration and in a file: for every architecture that has some.
#pragma once

#include "arch/common.h"

namespace lahar::arch {

// Keys of a mixture of experts; those of Hugging Face's qwen2_moe where nothing else is said. A default of 0: required.
struct MoeKeys {
  Key experts{"num_experts", "expert_count"};
  Key chosen{"num_experts_per_tok", "expert_used_count"};
  Key width{"moe_intermediate_size", "expert_feed_forward_length"};
  uint32_t default_experts = 0, default_chosen = 0, default_width = 0;  // for config.json alone
};
// Sizes of the experts, checked; GGUF's biases of router and experts by their presence in layer `layer`, that of the
// selection by its presence in any, and its scale of the weights. The rest is as MoeSpec has it.
MoeSpec read_moe(Config& config, const ModelSpec& spec, const MoeKeys& keys, uint32_t layer = 0);

struct RouterDefaults {
  bool normalize = false;
  bool gguf_normalize_key = true;  // whether GGUF's key counts
  // For config.json alone.
  bool grouped = true;                     // whether the keys of groups count
  uint32_t groups = 1, groups_chosen = 0;  // groups_chosen 0: all
  double scale = 1;
};
// Groups, normalisation and scale of the weights, and in a GGUF the kind of score, as DeepSeek's files name them. For
// moe.experts and moe.chosen that are known.
void read_router(Config& config, MoeSpec& moe, const RouterDefaults& defaults = {});

// GGUF counts layers that predict further tokens among the blocks, at the end; they are dropped.
void drop_prediction_layers(Config& config, ModelSpec& spec);

// Whether the layer has experts, by decoder_sparse_step and mlp_only_layers of config.json (Qwen).
bool is_sparse_layer(Config& config, uint32_t layer);

// The layer's feed-forward block becomes experts.
void use_experts(LayerSpec& layer, const MoeSpec& moe);

// Indices of a block of experts in its roles.
enum ExpertLinear : uint32_t { kRouter = 0, kSharedUp = 1, kSharedDown = 2, kLatentIn = 3, kLatentOut = 4 };
enum ExpertVector : uint32_t { kSelectionBias = 0, kSharedGate = 1, kExpertScale = 2 };
// Behind them, of a block of experts beside a dense one; all fp32 [hidden].
enum DenseAndExpertsVector : uint32_t { kRouterNorm = 3, kExpertsNorm = 4, kDensePostNorm = 5, kExpertsPostNorm = 6 };

// How a Hugging Face checkpoint calls the tensors, behind the layer's prefix. Experts lie in a tensor each (`experts`, the
// number, and one of gate, up and down), or all in one (`all_*`).
struct ExpertNames {
  std::string_view router = "mlp.gate";
  std::string_view selection_bias = "mlp.gate.e_score_correction_bias";
  std::string_view experts = "mlp.experts.", gate = ".gate_proj", up = ".up_proj", down = ".down_proj";
  std::string_view all_gate_up = "mlp.experts.gate_up_proj", all_down = "mlp.experts.down_proj";
  std::string_view all_up = "";  // of experts without gates
  bool transposed = false;       // what holds all: [experts, inputs, outputs]; a tensor each is [outputs, inputs]
  bool interleaved = false;      // what holds all: rows of gate and up in turns
  std::string_view shared_gate_up = "", shared_gate = "mlp.shared_expert.gate_proj", shared_up = "mlp.shared_expert.up_proj",
                   shared_down = "mlp.shared_expert.down_proj";
  std::string_view shared_sigmoid = "mlp.shared_expert_gate.weight";
  std::string_view latent_in = "", latent_out = "";
  std::string_view expert_scale = "";  // fp32 [experts], which the outputs are multiplied by
  bool gguf_scaled = false;            // GGUF's scale of every expert counts
};
// The roles of a block of experts; a GGUF file has names of its own.
BlockRoles expert_roles(const ModelSpec& spec, const MoeSpec& moe, const ModelSource& source, const ExpertNames& names = {});
// Whether the experts have the names of transformers' modules in memory, all in one tensor, as it saves them when told not
// to go back to the names that checkpoints are published with.
bool named_as_in_memory(const ModelSource& source);
// Whether some layer has a tensor of that name, in full behind the layer's number.
bool has_in_layers(const ModelSource& source, std::string_view name);
// Architecture::roles of a model whose only other blocks are experts.
LayerRoles expert_layer_roles(const ModelSpec& spec, uint32_t layer, const ModelSource& source,
                              const ExpertNames& names = {});

// As Mixtral's files call them.
inline constexpr ExpertNames kMixtralExperts{.router = "block_sparse_moe.gate",
                                             .experts = "block_sparse_moe.experts.",
                                             .gate = ".w1",
                                             .up = ".w3",
                                             .down = ".w2",
                                             .all_gate_up = "block_sparse_moe.experts.gate_up_proj",
                                             .all_down = "block_sparse_moe.experts.down_proj"};

// As DeepSeek's files call them, and those of many others.
inline constexpr ExpertNames kDeepSeekExperts{.shared_gate = "mlp.shared_experts.gate_proj",
                                              .shared_up = "mlp.shared_experts.up_proj",
                                              .shared_down = "mlp.shared_experts.down_proj"};

// As Granite's files call them, hybrid or not.
inline constexpr ExpertNames kGraniteExperts{.router = "block_sparse_moe.router.layer",
                                             .gate = "",
                                             .up = "",
                                             .down = "",
                                             .all_gate_up = "block_sparse_moe.input_linear",
                                             .all_down = "block_sparse_moe.output_linear",
                                             .shared_gate_up = "shared_mlp.input_linear",
                                             .shared_down = "shared_mlp.output_linear"};

}  // namespace lahar::arch
