#include "ops/catalogue.h"

#include <algorithm>

namespace lahar::ops {

std::vector<gpu::KernelDesc> kernel_catalogue(const gpu::Caps& caps) {
  std::vector<gpu::KernelDesc> all, unique;
  for (const auto list :
       {list_matmul_kernels,     list_embed_kernels,        list_norm_kernels,      list_rope_kernels,
        list_attention_kernels,  list_head_product_kernels, list_mla_kernels,       list_rotate_keys_kernels,
        list_activation_kernels, list_gate_kernels,         list_delta_net_kernels, list_rwkv_kernels,
        list_rwkv7_kernels,      list_rg_lru_kernels,       list_altup_kernels,     list_causal_conv_kernels,
        list_ssm_gate_kernels,   list_ssm_scan_kernels,     list_moe_kernels,       list_attention_block_kernels,
        list_gated_ffn_kernels,  list_sample_kernels})
    list(caps, all);
  for (const gpu::KernelDesc& desc : all) {
    const gpu::ShaderInfo& shader = gpu::shader_info(desc.shader);
    if (!caps.has(shader.required_features) || shader.spirv.empty()) continue;
    if (std::find(unique.begin(), unique.end(), desc) == unique.end()) unique.push_back(desc);
  }
  return unique;
}

}  // namespace lahar::ops
