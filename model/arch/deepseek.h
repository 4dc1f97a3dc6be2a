// What DeepSeek V2 and V3 read alike: latent attention, and experts beside a shared one behind some dense layers.
#pragma once

#include "arch/experts.h"

namespace lahar::arch {

// How V2 and V3 differ.
struct DeepSeek {
  // What the router adds up.
  void (*finish)(Config& config, MoeSpec& moe);
  // What transformers assumes for missing keys of config.json.
  uint32_t dense_layers, shared_experts;
  MoeKeys experts{};
  RouterDefaults router{};
  bool ffn_bias = false;  // whether the key of the feed-forward blocks' biases counts
};
void read_deepseek(Config& config, ModelSpec& spec, const DeepSeek& form);
LayerRoles deepseek_roles(const ModelSpec& spec, uint32_t layer, const ModelSource& source);

}  // namespace lahar::arch
