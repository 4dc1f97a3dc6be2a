#include "ops/matmul.h"

#include <algorithm>

#include "ops/activation.h"
#include "ops/catalogue.h"
#include "ops/matmul_push.h"
#include "ops/matmul_variants.h"

namespace lahar::ops {
namespace {

using namespace detail;
using gpu::ShaderId;
using quant::WeightFormat;

constexpr uint32_t kGemvRows = 16;  // of x
constexpr uint32_t kGemmTile = 64;  // of gemm.comp and gemm_coop.comp, both ways

constexpr uint16_t kLastFormat = static_cast<uint16_t>(WeightFormat::kCount) - 1;
static_assert(static_cast<uint16_t>(ShaderId::gemv_i8) == static_cast<uint16_t>(ShaderId::gemv_f32) + kLastFormat);
static_assert(static_cast<uint16_t>(ShaderId::gemm_coop_i8) == static_cast<uint16_t>(ShaderId::gemm_coop_f32) + kLastFormat);
static_assert(static_cast<uint16_t>(ShaderId::gemm_i8) == static_cast<uint16_t>(ShaderId::gemm_f32) + kLastFormat);

// Columns that one load of the kernels covers: 16 bytes of plane 0.
uint32_t unit_columns(WeightFormat format) {
  switch (format) {
    case WeightFormat::kF32: return 4;
    case WeightFormat::kF16:
    case WeightFormat::kBF16: return 8;
    case WeightFormat::kQ8_0:
    case WeightFormat::kF8:
    case WeightFormat::kI8: return 16;
    default: return 32;
  }
}

uint32_t flags_of(const MatmulParams& p) {
  return matmul_flags(p) | (p.w->cols % unit_columns(p.w->format) != 0 ? params::kMatmulTail : 0);
}

params::MatmulPush push_of(const MatmulParams& p, const quant::Layout& shape) {
  params::MatmulPush push{};
  push_matrix(*p.w, shape, push);
  push.x = p.x.range.address(), push.y = p.y.range.address();
  push.bias = p.bias.address(), push.residual = p.residual.range.address(), push.step = p.step.state.address();
  push.rows = matmul_y_rows(p);
  push.x_stride = p.x.stride, push.y_stride = p.y.stride, push.residual_stride = p.residual.stride;
  push.bucket = p.step.bucket;
  push.scale = p.scale, push.softcap = p.softcap, push.residual_scale = p.residual_scale;
  push.x_rows = matmul_x_rows(p);
  return push;
}

void record(gpu::Recorder& recorder, const MatmulParams& p, const quant::Layout& shape, const gpu::KernelDesc& kernel,
            gpu::GroupCount groups) {
  const params::MatmulPush push = push_of(p, shape);
  record_matmul(recorder, p, shape, kernel, gpu::push_bytes(push), groups);
}

struct GemvShape {
  uint32_t rows;  // of W for each team of one subgroup
  uint32_t x_rows;
  uint32_t subgroup;
  uint32_t teams;  // in a workgroup
};

// Registers hold rows * x_rows sums, and the weights of `rows` rows: fewer rows where there are many of x, or much to a
// unit.
GemvShape gemv_shape(const gpu::Caps& caps, WeightFormat format, uint32_t bucket, bool gated) {
  const uint32_t x_rows = power_of_two_at_least(bucket);
  const bool wide = unit_columns(format) > 16;
  uint32_t rows = x_rows == 1 && unit_columns(format) <= 8 ? 4 : 2;
  if (x_rows == 16 && !gated) rows = 1;
  // Where a driver offers subgroups of 8 or 16 to 32, the wider they are the fewer registers a lane has.
  uint32_t subgroup = caps.subgroup_size;
  if (caps.subgroup_size_control && caps.min_subgroup_size <= 16 && caps.max_subgroup_size >= 32)
    subgroup = x_rows >= 8 || (wide && (x_rows >= 2 || gated)) ? caps.min_subgroup_size : 16;
  return {rows, x_rows, subgroup, std::max(1u, subgroups_for(caps, 128) * caps.subgroup_size / subgroup)};
}

gpu::KernelDesc describe_gemv(const gpu::Caps& caps, WeightFormat format, uint32_t bucket, uint32_t flags, Activation glu) {
  const GemvShape s = gemv_shape(caps, format, bucket, glu != Activation::kNone);
  return {.shader = for_format(ShaderId::gemv_f32, format),
          .constants = {s.teams * s.subgroup, 1, 1, {s.rows, s.x_rows, s.teams, flags, static_cast<uint32_t>(glu)}},
          .subgroup_size = s.subgroup};
}

void record_gemv(gpu::Recorder& recorder, const MatmulParams& p, const quant::Layout& shape) {
  const gpu::Caps& caps = recorder.device().caps();
  const GemvShape s = gemv_shape(caps, p.w->format, p.step.bucket, p.glu != Activation::kNone);
  const uint32_t rows = p.glu == Activation::kNone ? s.rows : s.rows / 2;
  const uint32_t flags = flags_of(p);
  record(recorder, p, shape, describe_gemv(caps, p.w->format, p.step.bucket, flags, p.glu),
         spread_groups(ceil_div(matmul_y_rows(p), rows * s.teams), caps));
}

gpu::KernelDesc describe_gemm(WeightFormat format, uint32_t flags) {
  return {.shader = for_format(ShaderId::gemm_f32, format), .constants = {256, 1, 1, {flags}}, .subgroup_size = 0};
}

// The device's shape of matrices that the kernel's parts of 16 x 16 are made of; the largest. All zero without one.
gpu::CooperativeMatrixShape coop_shape(const gpu::Caps& caps) {
  gpu::CooperativeMatrixShape best;
  for (const gpu::CooperativeMatrixShape& s : caps.cooperative_matrix_shapes)
    if (s.m > 0 && 16 % s.m == 0 && 16 % s.n == 0 && 32 % s.k == 0 && s.k % 4 == 0 &&
        s.m * s.n * s.k > best.m * best.n * best.k)
      best = s;
  return best;
}

gpu::KernelDesc describe_coop(const gpu::Caps& caps, WeightFormat format, uint32_t flags) {
  const gpu::CooperativeMatrixShape s = coop_shape(caps);
  // Where a driver offers subgroups of 8 or 16 to 32, its matrices are those of the narrowest.
  const bool narrow = caps.subgroup_size_control && caps.min_subgroup_size <= 16 && caps.max_subgroup_size >= 32;
  const uint32_t subgroup = narrow ? caps.min_subgroup_size : caps.subgroup_size;
  const uint32_t part = subgroup < 32 ? 16 : 32;  // sums that a subgroup keeps in registers, squared
  return {.shader = for_format(ShaderId::gemm_coop_f32, format),
          .constants = {kGemmTile / part * (kGemmTile / part) * subgroup, 1, 1, {flags, s.m, s.n, s.k, part}},
          .subgroup_size = subgroup};
}

void record_coop(gpu::Recorder& recorder, const MatmulParams& p, const quant::Layout& shape) {
  const gpu::Caps& caps = recorder.device().caps();
  const gpu::GroupCount rows = spread_groups(ceil_div(p.w->rows, kGemmTile), caps);
  record(recorder, p, shape, describe_coop(caps, p.w->format, flags_of(p)),
         {ceil_div(p.step.bucket, kGemmTile), rows.x, rows.y});
}

bool can_coop(const gpu::Caps& caps, const MatmulParams& p) {
  const gpu::ShaderInfo shader = gpu::shader_info(for_format(ShaderId::gemm_coop_f32, p.w->format));
  return p.precision == Precision::kDefault && caps.has(shader.required_features) && !shader.spirv.empty() &&
         coop_shape(caps).m > 0 && caps.max_shared_memory >= 32768 && caps.max_workgroup_invocations >= 256 &&
         (p.glu == Activation::kNone || !p.logit_rows);
}

void record_gemm(gpu::Recorder& recorder, const MatmulParams& p, const quant::Layout& shape) {
  const gpu::GroupCount rows = spread_groups(ceil_div(p.w->rows, kGemmTile), recorder.device().caps());
  record(recorder, p, shape, describe_gemm(p.w->format, flags_of(p)), {ceil_div(p.step.bucket, kGemmTile), rows.x, rows.y});
}

// Gate and up into the scratch rows, then the activation by itself.
Status record_unfused(gpu::Recorder& recorder, const MatmulParams& p, const quant::Layout& shape,
                      void (*record_plain)(gpu::Recorder&, const MatmulParams&, const quant::Layout&)) {
  LAHAR_TRY(check_rows(p.label, "glu_scratch", p.glu_scratch, p.step.bucket, p.w->rows));
  const gpu::BufferRange scratch = rows_of(p.glu_scratch, p.step.bucket, p.w->rows);
  if (overlaps(scratch, p.x.range) || overlaps(scratch, rows_of(p.y, p.step.bucket, matmul_y_rows(p))))
    return invalid(p.label, "glu_scratch overlaps x or y");
  MatmulParams plain = p;
  plain.glu = Activation::kNone;
  plain.y = p.glu_scratch;
  record_plain(recorder, plain, shape);
  return activation(recorder, {.kind = p.glu,
                               .gated = true,
                               .x = p.glu_scratch,
                               .y = p.y,
                               .width = matmul_y_rows(p),
                               .step = p.step,
                               .label = p.label});
}

MatmulVariant choose(const gpu::Caps& caps, const MatmulParams& p) {
  for (const MatmulVariant variant : {MatmulVariant::kLine, MatmulVariant::kGemv})
    if (can_matmul(caps, variant, p)) return variant;
  // F32 weights were kept as such for their precision.
  if (!caps.is_cpu() && p.w->format != WeightFormat::kF32 && can_coop(caps, p)) return MatmulVariant::kCoop;
  return MatmulVariant::kGemm;
}

}  // namespace

bool can_matmul(const gpu::Caps& caps, MatmulVariant variant, const MatmulParams& p) {
  switch (variant) {
    case MatmulVariant::kGemv: return p.step.bucket <= kGemvRows;
    case MatmulVariant::kGemm: return caps.max_workgroup_invocations >= 256 && (p.glu == Activation::kNone || !p.logit_rows);
    case MatmulVariant::kCoop: return can_coop(caps, p);
    case MatmulVariant::kLine: return line_shape(caps, p).rows > 0;
    case MatmulVariant::kAuto: break;
  }
  return true;
}

Status matmul_with(gpu::Recorder& recorder, const MatmulParams& p, MatmulVariant variant) {
  const gpu::Caps& caps = recorder.device().caps();
  quant::Layout shape;
  LAHAR_TRY(check_matmul(p, shape));
  if (variant == MatmulVariant::kAuto) variant = choose(caps, p);
  if (!can_matmul(caps, variant, p)) return invalid(p.label, "no kernel for " + std::to_string(p.step.bucket) + " rows");
  if (variant == MatmulVariant::kLine) return matmul_line(recorder, p, line_shape(caps, p));
  if (variant == MatmulVariant::kGemv) {
    record_gemv(recorder, p, shape);
    return {};
  }
  const auto record_tiles = variant == MatmulVariant::kCoop ? record_coop : record_gemm;
  if (p.glu != Activation::kNone) return record_unfused(recorder, p, shape, record_tiles);
  record_tiles(recorder, p, shape);
  return {};
}

Status matmul(gpu::Recorder& recorder, const MatmulParams& params) {
  return matmul_with(recorder, params, MatmulVariant::kAuto);
}

void list_matmul_kernels(const gpu::Caps& caps, std::vector<gpu::KernelDesc>& out) {
  using namespace params;
  for (uint16_t f = 0; f <= kLastFormat; ++f) {
    const auto format = static_cast<WeightFormat>(f);
    for (const uint32_t bucket : {1u, 2u, 4u, 8u, 16u}) {
      for (const uint32_t flags : {0u, kMatmulBias, kMatmulResidual, kMatmulGather | kMatmulSoftcap, kMatmulTail})
        out.push_back(describe_gemv(caps, format, bucket, flags, Activation::kNone));
      out.push_back(describe_gemv(caps, format, bucket, 0, Activation::kSilu));
    }
    for (const uint32_t flags : {0u, kMatmulBias, kMatmulResidual, kMatmulTail}) {
      out.push_back(describe_gemm(format, flags));
      if (coop_shape(caps).m > 0) out.push_back(describe_coop(caps, format, flags));
    }
  }
  list_line_kernels(caps, out);
}

}  // namespace lahar::ops
