// Everything that is needed to run a decoder-only transformer, whatever file it came from. A plain description: no tensors,
// no Vulkan objects.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/log.h"
#include "core/result.h"
#include "format/model_source.h"
#include "ops/activation.h"
#include "ops/norm.h"
#include "ops/rope.h"
#include "spec_altup.h"
#include "spec_linear_attention.h"
#include "spec_mla.h"
#include "spec_moe.h"
#include "spec_ssm.h"

namespace lahar {

enum class RopeScaling { kNone, kLinear, kDynamicNtk, kYarn, kLlama3, kLongRope };
std::string_view to_string(RopeScaling scaling);

// How the table of a RopeSpec is computed. All in double on the CPU.
// Source of the formulas: transformers' modeling_rope_utils; each is spelled out in arch/rope_table.cpp.
struct RopeConfig {
  RopeScaling scaling = RopeScaling::kNone;
  double base = 10000;
  double factor = 1;              // of the context, for every scaling but kNone
  uint32_t trained_context = 0;   // the context length of the model, for kDynamicNtk
  uint32_t original_context = 0;  // tokens of the sequences that the model was trained on, before any scaling
  double turning = 1;             // part of the pairs that turn at all, the first ones (Gemma 4)
  double attention_factor = 0;    // 0: what the scaling derives; else the magnitude itself
  double beta_fast = 32, beta_slow = 1, mscale = 0, mscale_all_dim = 0;  // kYarn
  bool truncate = true;                                                  // kYarn: whole dims bound the ramp
  double low_frequency_factor = 1, high_frequency_factor = 4;            // kLlama3
  // Each inverse frequency is divided by its factor ([dims/2]; empty: ones). kLongRope: short_factors up to
  // original_context, long_factors beyond; any other scaling: short_factors always (GGUF rope_freqs.weight).
  std::vector<float> short_factors, long_factors;
};

struct RopeSpec {
  ops::RopePairing pairing = ops::RopePairing::kHalves;
  uint32_t dims = 0;  // of a head that are rotated; even, at most head_dim
  RopeConfig config;
  // Computed from config, for ModelSpec::opened_context:
  float magnitude = 1;                     // factor of cos and sin
  std::vector<float> inverse_frequencies;  // [dims / 2]
};

// The magnitude that YaRN derives from the factor: attention grows less sharp as positions are squeezed.
double yarn_magnitude(double factor, double mscale = 1);

// Recomputes magnitude and inverse_frequencies for a context of that many tokens. Errors: kFormat (numbers that make no
// finite table).
Status compute_rope_table(RopeSpec& rope, uint32_t context);

struct NormSpec {
  ops::NormKind kind = ops::NormKind::kRms;
  float eps = 1e-5f;
  bool bias = false;
};

struct AttentionSpec {
  uint32_t heads = 0, kv_heads = 0, head_dim = 0;  // heads is a multiple of kv_heads
  float scale = 1;                                 // of q . k
  float softcap = 0;                               // 0: none
  uint32_t window = 0;                             // keys visible, the row's own included; 0: all
  uint32_t chunk = 0;                              // keys visible are those of the same chunk of positions; 0: all
  bool sinks = false;                              // a learned logit per head takes part in the softmax's sum
  // q is multiplied by 1 + temperature * ln(1 + floor((position + 1) / temperature_floor)); 0: not
  float temperature = 0, temperature_floor = 1;
  int32_t rope = -1;                         // index in ModelSpec::ropes; -1: positions are not rotated
  float alibi = 0;                           // exponent of the last head's slope, times -1 (ALiBi); 0: none
  bool alibi_scaled = false;                 // the slopes are multiplied by scale too (Falcon)
  float clamp = 0;                           // q, k, v are clamped to [-clamp, clamp] after their bias; 0: not
  bool clamp_normed = false;                 // after the q/k norm instead, before RoPE
  bool keys_as_values = false;               // v is k before its norm and RoPE
  int32_t kv_source = -1;                    // an earlier layer whose keys and values these are; -1: its own
  ops::QkNorm qk_norm = ops::QkNorm::kNone;  // before RoPE, or after it
  ops::NormKind qk_norm_kind = ops::NormKind::kRms;
  bool qk_norm_weight = true, qk_norm_bias = false, qk_norm_after_rope = false;
  bool value_norm = false;  // RMSNorm of each head's v, without weights
  bool qkv_bias = false, output_bias = false;
  float output_scale = 1;  // of what kAttentionMamba2 adds to the residual stream
  float bias_scale = 1;    // of the biases of q, k, v and the output
  bool output_gate =
      false;  // the output is multiplied by the sigmoid of a gate, which q's projection gives behind each head
};

struct FfnSpec {
  uint32_t width = 0;
  bool gated = true;  // down(f(gate x) * (up x)), else down(f(up x))
  ops::Activation activation = ops::Activation::kSilu;
  bool up_bias = false;  // of gate and up
  bool down_bias = false;
  float gate_scale = 1, down_scale = 1;  // factors of the gate and of the output
  // Of the gate only what lies above its mean by so many standard deviations is left, as the part above that; a sample's
  // deviation divides by width - 1.
  bool sparse = false, sample_deviation = false;
  float deviations = 0;
};

// What mixes the tokens of a sequence. All but kAttention and kMla keep a recurrent state instead of keys and values;
// kAttentionMamba2, the sum of the two, keeps both.
enum class Mixer {
  kNone,
  kAttention,
  kMla,
  kMamba,
  kMamba2,
  kAttentionMamba2,
  kDeltaNet,
  kShortConv,
  kRgLru,
  kRwkv4,
  kRwkv7
};
// Keys and values are all that is kept.
constexpr bool is_attention(Mixer mixer) { return mixer == Mixer::kAttention || mixer == Mixer::kMla; }

// kDenseAndExperts: a dense block and one of experts side by side, with norms of their own (blocks/dense_and_experts.h).
enum class FfnKind { kNone, kDense, kExperts, kDenseAndExperts, kRwkv4, kRwkv7 };

// Sequential:  x += m * post_a(attn(pre_a(x)));   x += m * post_f(ffn(pre_f(x)))
// Parallel:    x += m * (attn(pre_a(x)) + ffn(pre_f(x))); with shared_norm the ffn reads pre_a(x).
// where a norm that is absent is the identity, and m is residual_multiplier.
// "attn" stands for the layer's mixer, "ffn" for its feed-forward block of whatever kind; one that is kNone adds nothing.
struct LayerSpec {
  Mixer mixer = Mixer::kAttention;
  FfnKind ffn_kind = FfnKind::kDense;
  AttentionSpec attention;  // kAttention, kMla; without heads otherwise
  MlaSpec mla;
  SsmSpec ssm;
  DeltaNetSpec delta_net;
  RwkvSpec rwkv;
  RgLruSpec rg_lru;
  ShortConvSpec short_conv;
  FfnSpec ffn;  // kDense, kDenseAndExperts
  MoeSpec moe;  // kExperts, kDenseAndExperts
  bool pre_attention_norm = true, post_attention_norm = false, pre_ffn_norm = true, post_ffn_norm = false;
  bool parallel = false;     // post norms are absent then
  bool shared_norm = false;  // only with parallel; pre_ffn_norm is false then
  float residual_multiplier = 1;
  float norm_eps = 0;   // of LayerNorms in front of the blocks; 0: the model's
  float end_scale = 1;  // factor of x behind the layer; others than 1 need post_ffn_norm or inputs of the layer's own
};

// What the model's makers advise; what is missing was not said.
struct SamplingDefaults {
  std::optional<float> temperature, top_p, min_p;
  std::optional<uint32_t> top_k;
  std::optional<bool> do_sample;  // false: greedy
};

struct ModelSpec {
  std::string architecture;  // as this project names it: "llama", "gemma3", ...
  std::string name;          // the model's own; may be empty
  uint32_t vocabulary = 0, hidden = 0;
  uint32_t context_length = 0;  // trained (or extended by its RoPE scaling): the most that makes sense
  uint32_t opened_context = 0;  // what the RoPE tables are for, see set_context

  float embedding_scale = 1;
  bool embedding_norm = false;     // of the scaled embedding (and positions)
  bool learned_positions = false;  // positions [context_length, hidden] are added to the embedding
  NormSpec norm;                   // all of the residual stream's norms
  float final_norm_eps = 0;        // of a LayerNorm; 0: as the others
  float qk_norm_eps = 1e-6f;
  AltUpSpec altup;
  LayerInputsSpec layer_inputs;
  bool tied_head = false;  // the head is the embedding table
  bool head_bias = false;
  float logit_scale = 1;    // factor of the logits
  float logit_softcap = 0;  // after logit_scale; 0: none
  std::vector<LayerSpec> layers;
  std::vector<RopeSpec> ropes;

  std::vector<int32_t> stop_tokens;  // generation ends with any of them; sorted
  std::optional<int32_t> bos_token;
  SamplingDefaults sampling;

  bool rope_depends_on_context() const;  // dynamic NTK and LongRoPE
  uint32_t kv_width(size_t layer) const { return layers[layer].attention.kv_heads * layers[layer].attention.head_dim; }
};

// Computes the RoPE tables anew for a context of `tokens` (0: context_length). Only dynamic NTK and LongRoPE depend on it:
// transformers rescales them as a sequence grows, which keys that are cached already cannot follow. Here the table is
// chosen once for the longest sequence that the engine is opened for; up to the original context both agree, and beyond it
// both agree for a sequence of exactly `tokens`.
Status set_context(ModelSpec& spec, uint32_t tokens);

// Reads and checks the configuration of a model. Every number is bounded by what the source's own tensors can hold, so that
// sizes derived from the result are safe to allocate. Errors: kUnsupported (architecture, mixture of experts, an option
// that is not there; the message lists what is), kFormat (a value that is missing, of the wrong type or out of range; the
// message names its key).
Result<ModelSpec> read_model_spec(const ModelSource& source, uint32_t context = 0, const Log& log = {});

// The names by which sources call the architectures that are supported, sorted, comma-separated.
std::string supported_architectures();

}  // namespace lahar
