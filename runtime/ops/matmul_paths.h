// Inside of matmul: what each path offers to matmul(), and what the paths of GPUs share.
#pragma once

#include "ops/matmul_push.h"
#include "ops/matmul_variants.h"

namespace lahar::ops::detail {

// Of one path. Defaults first in list(); record() is given params and a form for which can() holds.
struct MatmulPathOps {
  bool (*can)(const gpu::Caps& caps, const MatmulParams& p, const MatmulForm& form);
  void (*list)(const gpu::Caps& caps, const MatmulParams& p, std::vector<MatmulForm>& out);
  Status (*record)(gpu::Recorder& recorder, const MatmulParams& p, const quant::Layout& shape, const MatmulForm& form);
};
extern const MatmulPathOps kGemvOps, kGemmOps, kCoopOps;
void list_gemv_kernels(const gpu::Caps& caps, std::vector<gpu::KernelDesc>& out);
void list_tile_kernels(const gpu::Caps& caps, std::vector<gpu::KernelDesc>& out);
void list_coop_kernels(const gpu::Caps& caps, std::vector<gpu::KernelDesc>& out);

constexpr uint32_t kGemvRows = 16;  // of x
constexpr uint16_t kFormats = static_cast<uint16_t>(quant::WeightFormat::kCount);

// Columns that one load of the kernels covers: 16 bytes of plane 0.
uint32_t unit_columns(quant::WeightFormat format);
uint32_t flags_with_tail(const MatmulParams& params);
params::MatmulPush matmul_push(const MatmulParams& params, const quant::Layout& shape);
// For kernels without gated activations: gate and up into the scratch rows, then the activation by itself. Without one,
// `record` alone.
Status record_unfused(gpu::Recorder& recorder, const MatmulParams& params, const quant::Layout& shape,
                      const MatmulForm& form,
                      void (*record)(gpu::Recorder&, const MatmulParams&, const quant::Layout&, const MatmulForm&));
// True where workgroups may be made of full subgroups of this size.
bool can_subgroup(const gpu::Caps& caps, uint32_t size);

}  // namespace lahar::ops::detail
