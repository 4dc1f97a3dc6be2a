// Mamba and Mamba-2 in a configuration and in a file: for every architecture that has such layers.
#pragma once

#include "arch/common.h"

namespace lahar::arch {

// Keys of Mamba-2 layers; those of Hugging Face's hybrids where nothing else is said.
struct Mamba2Keys {
  Key state{"mamba_d_state", "ssm.state_size"};
  Key conv{"mamba_d_conv", "ssm.conv_kernel"};
  Key heads{"mamba_n_heads", "ssm.time_step_rank"};
  Key head_dim{"mamba_d_head", ""};  // where it is no number, expand * hidden is shared out among the heads
  Key groups{"mamba_n_groups", "ssm.group_count"};
  Key expand{"mamba_expand", ""};
  Key conv_bias{"mamba_conv_bias", ""};
  Key in_bias{"mamba_proj_bias", ""}, out_bias{"mamba_proj_bias", ""};
  Key activation{"hidden_act", ""};
  uint32_t default_state = 0, default_conv = 4, default_heads = 0, default_head_dim = 64, default_groups = 1;
};
// Sizes, checked, biases, the limits of dt and the norm: over all channels in config.json, over each group in a GGUF. For
// spec.hidden and spec.norm.eps that are known.
SsmSpec read_mamba2(Config& config, const ModelSpec& spec, const Mamba2Keys& keys = {});

// Fails where the activation behind the convolution is another than the one that there is.
void require_silu(Config& config, Key activation);

// The layer mixes by Mamba-2 alone.
void use_mamba2(LayerSpec& layer, const SsmSpec& ssm);
// Names around the layers of a model that has no others.
void adapt_mamba(const ModelSpec& spec, bool gguf, TensorLayout& layout);
// The layer has no feed-forward block.
void drop_ffn(LayerSpec& layer);

// The roles of such a layer; `prefix` is what Hugging Face puts before the names ("mixer.").
BlockRoles mamba2_roles(const ModelSpec& spec, const LayerSpec& layer, bool gguf, std::string_view prefix);
BlockRoles mamba_roles(const ModelSpec& spec, const LayerSpec& layer, bool gguf, std::string_view prefix);

}  // namespace lahar::arch
