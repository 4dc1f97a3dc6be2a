// What one architecture is made of: how its configuration becomes a ModelSpec, and under which names its tensors lie.
#pragma once

#include <span>
#include <string_view>

#include "arch/config.h"
#include "block_roles.h"
#include "spec.h"

namespace lahar::arch {

// Names without ".weight" or ".bias". Those of a layer follow `layer` + its number + "."; empty: the role has no tensor in
// that form. Defaults: Hugging Face's llama.
struct TensorNames {
  std::string_view embedding = "embed_tokens", other_embedding = "", embedding_norm = "", positions = "",
                   final_norm = "norm", head = "lm_head", layer = "layers.";
  std::string_view pre_attention = "input_layernorm", post_attention = "", pre_ffn = "post_attention_layernorm",
                   post_ffn = "";
  std::string_view q = "self_attn.q_proj", k = "self_attn.k_proj", v = "self_attn.v_proj", qkv = "";
  // "{}" in a norm's name: one tensor a head, by its number.
  std::string_view q_norm = "self_attn.q_norm", k_norm = "self_attn.k_norm", attention_output = "self_attn.o_proj";
  std::string_view sinks = "self_attn.sinks";  // in full
  std::string_view gate = "mlp.gate_proj", up = "mlp.up_proj", gate_up = "", down = "mlp.down_proj";
};

// How the rows of a fused q,k,v tensor are ordered.
enum class FusedQkv {
  kStacked,  // all of q, all of k, all of v
  kGroups,   // for each KV head: its query heads, its k, its v (Falcon)
};

struct TensorLayout {
  TensorNames names;
  bool transposed = false;  // matrices of the layers are stored as [inputs, outputs] (GPT-2)
  float norm_offset = 0;    // added to norm weights (Gemma)
  FusedQkv fused_qkv = FusedQkv::kStacked;
  // GGUF's per-tensor ".scale" companions are applied to these; the runtimes that write them ignore the others. Of q, k, v
  // and the attention output the product is scaled, of the feed-forward the sum with the bias.
  bool scaled_qkv = true, scaled_attention_output = true, scaled_ffn = true;
  bool gguf_output_bias = true;  // GGUF's bias of the attention output counts, likewise
};

struct Architecture {
  std::string_view name;
  std::span<const std::string_view> gguf, hf;                             // names by which sources call it
  void (*read)(Config& config, ModelSpec& spec);                          // errors go to config
  void (*adapt)(const ModelSpec& spec, bool gguf, TensorLayout& layout);  // changes what differs from the defaults
  // The weights of a layer's blocks that are neither attention nor a dense feed-forward; null where there are none.
  LayerRoles (*roles)(const ModelSpec& spec, uint32_t layer, const ModelSource& source) = nullptr;
  // Weights beside those of layers, embedding, final norm and head; null where there are none.
  BlockRoles (*extra)(const ModelSpec& spec, const ModelSource& source) = nullptr;
};

std::span<const Architecture* const> architectures();
// Null where nothing here is called that in a source of that form.
const Architecture* find_architecture(std::string_view name, bool gguf);
// The layout of a source's tensors.
TensorLayout tensor_layout(const Architecture& architecture, const ModelSpec& spec, bool gguf);

// One file each.
extern const Architecture kGemma3n, kGemma4, kLfm2, kLfm2Moe, kQwen35, kQwen35Moe, kQwen3Next, kRwkv4, kRwkv7;
extern const Architecture kErnie45Moe, kGlm4Moe, kGptOss, kGraniteMoe, kLlama4, kMiniMaxM2, kMixtral, kOlmoe, kQwen2Moe,
    kQwen3Moe;
extern const Architecture kBloom, kCohere, kCohere2, kDeepSeekV2, kDeepSeekV3, kErnie45, kExaone4, kFalcon, kGemma2, kGemma3,
    kGlm, kGlm4, kGpt2, kGptNeox, kGranite, kHunyuan, kLlama, kMistral, kMpt, kOlmo2, kPhi3, kQwen2, kQwen3, kSeedOss,
    kSmolLm3, kStableLm, kStarcoder2;
extern const Architecture kFalconH1, kGraniteHybrid, kMamba, kMamba2, kNemotronH, kRecurrentGemma;

}  // namespace lahar::arch
