// Every pipeline that ops may ask a device for, over the shapes that models have: what a check of all drivers' compilers
// builds.
#pragma once

#include <vector>

#include "gpu/caps.h"
#include "gpu/kernel.h"

namespace lahar::ops {

// Without duplicates, grouped by kernel. Variants that the device's features exclude are not in it.
std::vector<gpu::KernelDesc> kernel_catalogue(const gpu::Caps& caps);

// The part of one op each.
void list_matmul_kernels(const gpu::Caps& caps, std::vector<gpu::KernelDesc>& out);
void list_x_rows_kernels(const gpu::Caps& caps, std::vector<gpu::KernelDesc>& out);
void list_embed_kernels(const gpu::Caps& caps, std::vector<gpu::KernelDesc>& out);
void list_norm_kernels(const gpu::Caps& caps, std::vector<gpu::KernelDesc>& out);
void list_rope_kernels(const gpu::Caps& caps, std::vector<gpu::KernelDesc>& out);
void list_attention_kernels(const gpu::Caps& caps, std::vector<gpu::KernelDesc>& out);
void list_head_product_kernels(const gpu::Caps& caps, std::vector<gpu::KernelDesc>& out);
void list_mla_kernels(const gpu::Caps& caps, std::vector<gpu::KernelDesc>& out);
void list_rotate_keys_kernels(const gpu::Caps& caps, std::vector<gpu::KernelDesc>& out);
void list_activation_kernels(const gpu::Caps& caps, std::vector<gpu::KernelDesc>& out);
void list_altup_kernels(const gpu::Caps& caps, std::vector<gpu::KernelDesc>& out);
void list_causal_conv_kernels(const gpu::Caps& caps, std::vector<gpu::KernelDesc>& out);
void list_ssm_gate_kernels(const gpu::Caps& caps, std::vector<gpu::KernelDesc>& out);
void list_ssm_scan_kernels(const gpu::Caps& caps, std::vector<gpu::KernelDesc>& out);
void list_moe_kernels(const gpu::Caps& caps, std::vector<gpu::KernelDesc>& out);
void list_gate_kernels(const gpu::Caps& caps, std::vector<gpu::KernelDesc>& out);
void list_delta_net_kernels(const gpu::Caps& caps, std::vector<gpu::KernelDesc>& out);
void list_rwkv_kernels(const gpu::Caps& caps, std::vector<gpu::KernelDesc>& out);
void list_rwkv7_kernels(const gpu::Caps& caps, std::vector<gpu::KernelDesc>& out);
void list_rg_lru_kernels(const gpu::Caps& caps, std::vector<gpu::KernelDesc>& out);
void list_attention_block_kernels(const gpu::Caps& caps, std::vector<gpu::KernelDesc>& out);
void list_gated_ffn_kernels(const gpu::Caps& caps, std::vector<gpu::KernelDesc>& out);
void list_sample_kernels(const gpu::Caps& caps, std::vector<gpu::KernelDesc>& out);

}  // namespace lahar::ops
