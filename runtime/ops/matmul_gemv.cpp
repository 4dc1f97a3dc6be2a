#include "ops/matmul_paths.h"

namespace lahar::ops {
namespace {

using namespace detail;
using gpu::ShaderId;
using quant::WeightFormat;

// Registers hold rows * x_rows sums, and the weights of `rows` rows: fewer rows where there are many of x, or much to a
// unit.
MatmulForm default_gemv(const gpu::Caps& caps, WeightFormat format, uint32_t bucket, bool gated) {
  const uint32_t x_rows = power_of_two_at_least(bucket);
  const bool wide = unit_columns(format) > 16;
  uint32_t rows = x_rows == 1 && unit_columns(format) <= 8 ? 4 : 2;
  if (x_rows == 16 && !gated) rows = 1;
  // Where a driver offers subgroups of 8 or 16 to 32, the wider they are the fewer registers a lane has.
  uint32_t subgroup = caps.subgroup_size;
  if (few_registers(caps) && caps.max_subgroup_size >= 32)
    subgroup = x_rows >= 8 || (wide && (x_rows >= 2 || gated)) ? caps.min_subgroup_size : 16;
  return {.path = MatmulPath::kGemv,
          .rows = rows,
          .x_rows = x_rows,
          .subgroup = subgroup,
          .teams = std::max(1u, subgroups_for(caps, 128) * caps.subgroup_size / subgroup)};
}

gpu::KernelDesc describe(WeightFormat format, uint32_t flags, Activation glu, const MatmulForm& f) {
  return {.shader = for_format(ShaderId::gemv_f32, format),
          .constants = {f.teams * f.subgroup, 1, 1, {f.rows, f.x_rows, f.teams, flags, static_cast<uint32_t>(glu)}},
          .subgroup_size = f.subgroup};
}

bool can(const gpu::Caps& caps, const MatmulParams& p, const MatmulForm& f) {
  return p.step.bucket <= kGemvRows && f.rows >= 1 && f.rows <= 8 && (p.glu == Activation::kNone || f.rows % 2 == 0) &&
         f.x_rows >= p.step.bucket && f.x_rows <= kGemvRows && f.rows * f.x_rows <= 64 && can_subgroup(caps, f.subgroup) &&
         f.teams >= 1 && f.teams <= 16 && f.teams * f.subgroup <= caps.max_workgroup_invocations;
}

void list(const gpu::Caps& caps, const MatmulParams& p, std::vector<MatmulForm>& out) {
  const MatmulForm best = default_gemv(caps, p.w->format, p.step.bucket, p.glu != Activation::kNone);
  out.push_back(best);
  for (const uint32_t rows : {1u, 2u, 4u})
    for (const uint32_t lanes : {128u, 256u})
      for (const uint32_t subgroup : {caps.min_subgroup_size, caps.subgroup_size}) {
        MatmulForm f = best;
        f.rows = rows, f.subgroup = subgroup, f.teams = caps.is_cpu() ? 1 : std::max(1u, lanes / subgroup);
        out.push_back(f);
      }
}

Status record(gpu::Recorder& recorder, const MatmulParams& p, const quant::Layout& shape, const MatmulForm& f) {
  const uint32_t rows = p.glu == Activation::kNone ? f.rows : f.rows / 2;
  const params::MatmulPush push = matmul_push(p, shape);
  record_matmul(recorder, p, shape, describe(p.w->format, flags_with_tail(p), p.glu, f), gpu::push_bytes(push),
                spread_groups(ceil_div(matmul_y_rows(p), rows * f.teams), recorder.device().caps()));
  return {};
}

}  // namespace

const MatmulPathOps detail::kGemvOps{can, list, record};

void detail::list_gemv_kernels(const gpu::Caps& caps, std::vector<gpu::KernelDesc>& out) {
  using namespace params;
  for (uint16_t f = 0; f < kFormats; ++f) {
    const auto format = static_cast<WeightFormat>(f);
    for (const uint32_t bucket : {1u, 2u, 4u, 8u, 16u}) {
      for (const uint32_t flags : {0u, kMatmulBias, kMatmulResidual, kMatmulGather | kMatmulSoftcap, kMatmulTail})
        out.push_back(describe(format, flags, Activation::kNone, default_gemv(caps, format, bucket, false)));
      out.push_back(describe(format, 0, Activation::kSilu, default_gemv(caps, format, bucket, true)));
    }
  }
}

}  // namespace lahar::ops
