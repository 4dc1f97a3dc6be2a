// What most architectures read alike.
#pragma once

#include "arch/architecture.h"

namespace lahar::arch {

// Keys and defaults; those of Hugging Face's llama where nothing else is said. Defaults are what transformers assumes for a
// key that config.json leaves out.
struct Common {
  Key layers{"num_hidden_layers", "block_count"};
  Key hidden{"hidden_size", "embedding_length"};
  Key heads{"num_attention_heads", "attention.head_count"};
  Key kv_heads{"num_key_value_heads", "attention.head_count_kv"};
  Key head_dim{"head_dim", "attention.key_length"};
  Key value_dim{"", "attention.value_length"};  // must be the same
  Key width{"intermediate_size", "feed_forward_length"};
  Key context{"max_position_embeddings", "context_length"};
  Key eps{"rms_norm_eps", "attention.layer_norm_rms_epsilon"};
  Key activation{"hidden_act", ""};
  std::string_view default_activation = "silu";
  uint32_t default_hidden = 0;    // 0: required
  uint32_t default_layers = 0;    // 0: required
  uint32_t default_heads = 0;     // 0: required
  uint32_t default_kv_heads = 0;  // 0: as many as heads, which null in config.json always means
  uint32_t default_head_dim = 0;  // 0: hidden / heads, likewise; for config.json alone
  uint32_t default_context = 2048;
  uint32_t default_width = 0;  // 0: required
  double default_eps = 1e-6;
  bool default_tied = false;
};

// Sizes, norms' eps and tied head; layers without heads or width, for architectures without attention.
void read_sizes(Config& config, ModelSpec& spec, const Common& common = {});
// These, and all layers: pre-norms, gated feed-forward, scale 1 / sqrt(head_dim), no RoPE, no biases.
void read_common(Config& config, ModelSpec& spec, const Common& common = {});

struct RopeOptions {
  double default_base = 10000;
  bool gguf_interleaved = false;  // GGUF keeps q and k permuted for neighbouring pairs (llama and what is converted like it)
  bool interleaved = false;       // neighbouring pairs in either form
  bool partial = false;           // partial_rotary_factor counts
  double default_part = 1;        // where it is missing
  std::string_view part_key = "partial_rotary_factor", base_key = "rope_theta";  // at config.json's top level
  uint32_t original_context =
      0;                        // what config.json's own key defaults to, before the one inside rope_parameters; 0: nothing
  bool plain = false;           // no scaling, whatever is configured (GGUF: of sliding layers)
  std::string_view layer_type;  // of a nested rope_parameters; empty: the one of all layers
  Key gguf_base{"", "rope.freq_base"}, gguf_dims{"", "rope.dimension_count"};
  uint32_t head_dim = 0;                      // 0: layer 0's, which all layers must have
  std::string_view default_type = "default";  // where config.json names none
};
// Adds a RopeSpec for heads of one head_dim and returns its index.
int32_t add_rope(Config& config, ModelSpec& spec, const RopeOptions& options = {});
// RoPE of all layers, by one table.
void use_one_rope(Config& config, ModelSpec& spec, const RopeOptions& options = {});

// config.json alone: q, k, v and output biases by one flag.
void read_attention_bias(Config& config, ModelSpec& spec, bool fallback = false);
// The sliding window; `fallback` where the key is missing. 0: none, as null in config.json.
uint32_t read_window(Config& config, uint32_t fallback);
// Whether a layer has the window: by the list or the period that the configuration gives, else by `period`, of whose layers
// the last one is full.
bool sliding_by_pattern(Config& config, uint32_t layer, uint32_t period);

}  // namespace lahar::arch
