#include "ops/matmul_paths.h"

namespace lahar::ops {
namespace {

using namespace detail;
using gpu::ShaderId;
using quant::WeightFormat;

constexpr uint32_t kTile = 64;  // of gemm_coop.comp, both ways

// The device's shape of matrices that the kernel's parts of 16 x 16 are made of; the largest. All zero without one.
gpu::CooperativeMatrixShape best_shape(const gpu::Caps& caps) {
  gpu::CooperativeMatrixShape best;
  for (const gpu::CooperativeMatrixShape& s : caps.cooperative_matrix_shapes)
    if (s.m > 0 && 16 % s.m == 0 && 16 % s.n == 0 && 32 % s.k == 0 && s.k % 4 == 0 &&
        s.m * s.n * s.k > best.m * best.n * best.k)
      best = s;
  return best;
}

MatmulForm default_coop(const gpu::Caps& caps) {
  const gpu::CooperativeMatrixShape s = best_shape(caps);
  // Where a driver offers subgroups of 8 or 16 to 32, its matrices are those of the narrowest.
  const uint32_t subgroup =
      few_registers(caps) && caps.max_subgroup_size >= 32 ? caps.min_subgroup_size : caps.subgroup_size;
  const uint32_t part = subgroup < 32 ? 16 : 32;  // sums that a subgroup keeps in registers, squared
  return {.path = MatmulPath::kCoop,
          .subgroup = subgroup,
          .tile_m = kTile,
          .tile_n = kTile,
          .part_m = part,
          .part_n = part,
          .m = s.m,
          .n = s.n,
          .k = s.k};
}

gpu::KernelDesc describe(WeightFormat format, uint32_t flags, const MatmulForm& f) {
  return {.shader = for_format(ShaderId::gemm_coop_f32, format),
          .constants = {kTile / f.part_m * (kTile / f.part_n) * f.subgroup, 1, 1, {flags, f.m, f.n, f.k, f.part_m}},
          .subgroup_size = f.subgroup};
}

bool can(const gpu::Caps& caps, const MatmulParams& p, const MatmulForm& f) {
  const gpu::ShaderInfo shader = gpu::shader_info(for_format(ShaderId::gemm_coop_f32, p.w->format));
  return f == default_coop(caps) && p.precision == Precision::kDefault && caps.has(shader.required_features) &&
         !shader.spirv.empty() && f.m > 0 && caps.max_shared_memory >= 32768 && caps.max_workgroup_invocations >= 256 &&
         (p.glu == Activation::kNone || !p.logit_rows);
}

void list(const gpu::Caps& caps, const MatmulParams&, std::vector<MatmulForm>& out) { out.push_back(default_coop(caps)); }

void record_plain(gpu::Recorder& recorder, const MatmulParams& p, const quant::Layout& shape, const MatmulForm& f) {
  const gpu::GroupCount rows = spread_groups(ceil_div(p.w->rows, kTile), recorder.device().caps());
  const params::MatmulPush push = matmul_push(p, shape);
  record_matmul(recorder, p, shape, describe(p.w->format, flags_with_tail(p), f), gpu::push_bytes(push),
                {ceil_div(p.step.bucket, kTile), rows.x, rows.y});
}

Status record(gpu::Recorder& recorder, const MatmulParams& p, const quant::Layout& shape, const MatmulForm& f) {
  return record_unfused(recorder, p, shape, f, record_plain);
}

}  // namespace

const MatmulPathOps detail::kCoopOps{can, list, record};

void detail::list_coop_kernels(const gpu::Caps& caps, std::vector<gpu::KernelDesc>& out) {
  using namespace params;
  if (best_shape(caps).m == 0) return;
  for (uint16_t f = 0; f < kFormats; ++f)
    for (const uint32_t flags : {0u, kMatmulBias, kMatmulResidual, kMatmulTail})
      out.push_back(describe(static_cast<WeightFormat>(f), flags, default_coop(caps)));
}

}  // namespace lahar::ops
