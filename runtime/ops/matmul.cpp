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
constexpr uint32_t kGemmTile = 64;  // of gemm.comp, both ways

constexpr uint16_t kLastFormat = static_cast<uint16_t>(WeightFormat::kCount) - 1;
static_assert(static_cast<uint16_t>(ShaderId::gemv_i8) == static_cast<uint16_t>(ShaderId::gemv_f32) + kLastFormat);
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

// Rows of y: half of the matrix's with a gated activation.
uint32_t y_rows(const MatmulParams& p) { return p.glu == Activation::kNone ? p.w->rows : p.w->rows / 2; }

uint32_t flags_of(const MatmulParams& p, uint32_t columns_at_once) {
  return (p.bias ? params::kMatmulBias : 0) | (p.residual.range ? params::kMatmulResidual : 0) |
         (p.softcap > 0 ? params::kMatmulSoftcap : 0) | (p.logit_rows ? params::kMatmulGather : 0) |
         (p.w->cols % columns_at_once != 0 ? params::kMatmulTail : 0);
}

Status check(const MatmulParams& p, quant::Layout& shape) {
  LAHAR_TRY(check_matrix(p.label, p.w, shape));
  const uint32_t bucket = p.step.bucket;
  LAHAR_TRY(check_step(p.label, {p.step.state, p.logit_rows ? 1 : bucket}, UINT32_MAX));
  if (bucket == 0) return invalid(p.label, "a bucket of no rows");
  if (p.glu != Activation::kNone && p.w->rows % 2 != 0)
    return invalid(p.label, "a gated activation of " + std::to_string(p.w->rows) + " rows, an odd number");
  if (p.glu != Activation::kNone && p.residual.range) return invalid(p.label, "a gated activation takes no residual");
  LAHAR_TRY(check_rows(p.label, "x", p.x, p.logit_rows ? 1 : bucket, p.w->cols));
  LAHAR_TRY(check_rows(p.label, "y", p.y, bucket, y_rows(p)));
  if (p.bias) LAHAR_TRY(check_vector(p.label, "bias", p.bias, p.w->rows));
  if (p.residual.range) {
    LAHAR_TRY(check_rows(p.label, "residual", p.residual, bucket, p.w->rows));
    if (!same_rows(p.residual, p.y) && overlaps(rows_of(p.residual, bucket, p.w->rows), rows_of(p.y, bucket, p.w->rows)))
      return invalid(p.label, "y overlaps the residual in other rows");
  }
  const gpu::BufferRange x = p.logit_rows ? p.x.range : rows_of(p.x, bucket, p.w->cols);
  if (overlaps(x, rows_of(p.y, bucket, y_rows(p)))) return invalid(p.label, "y overlaps x");
  // gemv.comp reaches rows of x by a 32-bit offset.
  if (p.x.range.size > UINT32_MAX) return invalid(p.label, "x is over 4 GiB");
  return {};
}

params::MatmulPush push_of(const MatmulParams& p, const quant::Layout& shape) {
  params::MatmulPush push{};
  push_matrix(*p.w, shape, push);
  push.x = p.x.range.address(), push.y = p.y.range.address();
  push.bias = p.bias.address(), push.residual = p.residual.range.address(), push.step = p.step.state.address();
  push.rows = y_rows(p);
  push.x_stride = p.x.stride, push.y_stride = p.y.stride, push.residual_stride = p.residual.stride;
  push.bucket = p.step.bucket;
  push.scale = p.scale, push.softcap = p.softcap, push.residual_scale = p.residual_scale;
  const uint64_t floats = p.x.range.size / sizeof(float);
  push.x_rows =
      p.logit_rows && p.x.stride > 0 ? static_cast<uint32_t>((floats - p.w->cols) / p.x.stride + 1) : p.step.bucket;
  return push;
}

void record(gpu::Recorder& recorder, const MatmulParams& p, const quant::Layout& shape, const gpu::KernelDesc& kernel,
            gpu::GroupCount groups) {
  const uint32_t bucket = p.step.bucket;
  const params::MatmulPush push = push_of(p, shape);
  const Ranges reads{plane_range(*p.w, shape, 0),
                     plane_range(*p.w, shape, 1),
                     plane_range(*p.w, shape, 2),
                     p.logit_rows ? p.x.range : rows_of(p.x, bucket, p.w->cols),
                     p.bias,
                     p.residual.range ? rows_of(p.residual, bucket, p.w->rows) : gpu::BufferRange{},
                     p.step.state};
  const Ranges writes{rows_of(p.y, bucket, y_rows(p))};
  recorder.dispatch({.label = p.label,
                     .kernel = recorder.device().kernels().get(kernel),
                     .push = gpu::push_bytes(push),
                     .groups = groups,
                     .reads = reads,
                     .writes = writes});
}

// n workgroups as x * y (in that order of change), each below the device's limit; some may lie beyond n.
gpu::GroupCount spread(uint64_t n, const gpu::Caps& caps) {
  const uint64_t limit = std::min<uint64_t>(caps.max_workgroup_count[0], 65535);
  const uint64_t y = (n + limit - 1) / limit;
  return {static_cast<uint32_t>((n + y - 1) / y), static_cast<uint32_t>(y), 1};
}

struct GemvShape {
  uint32_t rows;  // of W for each team of one subgroup
  uint32_t x_rows;
  uint32_t teams;  // in a workgroup
};

// Registers hold rows * x_rows sums, and the weights of `rows` rows: fewer rows where there are many of x.
GemvShape gemv_shape(const gpu::Caps& caps, uint32_t bucket) {
  const uint32_t x_rows = power_of_two_at_least(bucket);
  const uint32_t rows = x_rows <= 2 ? 4 : 2;
  return {rows, x_rows, subgroups_for(caps, 128)};
}

gpu::KernelDesc describe_gemv(const gpu::Caps& caps, WeightFormat format, uint32_t bucket, uint32_t flags, Activation glu) {
  const GemvShape s = gemv_shape(caps, bucket);
  return {.shader = for_format(ShaderId::gemv_f32, format),
          .constants = {s.teams * caps.subgroup_size, 1, 1, {s.rows, s.x_rows, s.teams, flags, static_cast<uint32_t>(glu)}},
          .subgroup_size = caps.subgroup_size};
}

void record_gemv(gpu::Recorder& recorder, const MatmulParams& p, const quant::Layout& shape) {
  const gpu::Caps& caps = recorder.device().caps();
  const GemvShape s = gemv_shape(caps, p.step.bucket);
  const uint32_t rows = p.glu == Activation::kNone ? s.rows : s.rows / 2;
  const uint32_t flags = flags_of(p, unit_columns(p.w->format));
  record(recorder, p, shape, describe_gemv(caps, p.w->format, p.step.bucket, flags, p.glu),
         spread(ceil_div(y_rows(p), rows * s.teams), caps));
}

gpu::KernelDesc describe_gemm(WeightFormat format, uint32_t flags) {
  return {.shader = for_format(ShaderId::gemm_f32, format), .constants = {256, 1, 1, {flags}}, .subgroup_size = 0};
}

void record_gemm(gpu::Recorder& recorder, const MatmulParams& p, const quant::Layout& shape) {
  const gpu::GroupCount rows = spread(ceil_div(p.w->rows, kGemmTile), recorder.device().caps());
  record(recorder, p, shape, describe_gemm(p.w->format, flags_of(p, unit_columns(p.w->format))),
         {ceil_div(p.step.bucket, kGemmTile), rows.x, rows.y});
}

// Gate and up into the scratch rows, then the activation by itself.
Status record_unfused(gpu::Recorder& recorder, const MatmulParams& p, const quant::Layout& shape,
                      void (*record_plain)(gpu::Recorder&, const MatmulParams&, const quant::Layout&)) {
  LAHAR_TRY(check_rows(p.label, "glu_scratch", p.glu_scratch, p.step.bucket, p.w->rows));
  const gpu::BufferRange scratch = rows_of(p.glu_scratch, p.step.bucket, p.w->rows);
  if (overlaps(scratch, p.x.range) || overlaps(scratch, rows_of(p.y, p.step.bucket, y_rows(p))))
    return invalid(p.label, "glu_scratch overlaps x or y");
  MatmulParams plain = p;
  plain.glu = Activation::kNone;
  plain.y = p.glu_scratch;
  record_plain(recorder, plain, shape);
  return activation(
      recorder,
      {.kind = p.glu, .gated = true, .x = p.glu_scratch, .y = p.y, .width = y_rows(p), .step = p.step, .label = p.label});
}

MatmulVariant choose(const gpu::Caps& caps, const MatmulParams& p) {
  for (const MatmulVariant variant : {MatmulVariant::kGemv})
    if (can_matmul(caps, variant, p)) return variant;
  return MatmulVariant::kGemm;
}

}  // namespace

bool can_matmul(const gpu::Caps& caps, MatmulVariant variant, const MatmulParams& p) {
  switch (variant) {
    case MatmulVariant::kGemv: return p.step.bucket <= kGemvRows;
    case MatmulVariant::kGemm: return caps.max_workgroup_invocations >= 256 && (p.glu == Activation::kNone || !p.logit_rows);
    case MatmulVariant::kAuto: break;
  }
  return true;
}

Status matmul_with(gpu::Recorder& recorder, const MatmulParams& p, MatmulVariant variant) {
  const gpu::Caps& caps = recorder.device().caps();
  quant::Layout shape;
  LAHAR_TRY(check(p, shape));
  if (variant == MatmulVariant::kAuto) variant = choose(caps, p);
  if (!can_matmul(caps, variant, p)) return invalid(p.label, "no kernel for " + std::to_string(p.step.bucket) + " rows");
  if (variant == MatmulVariant::kGemv) {
    record_gemv(recorder, p, shape);
    return {};
  }
  if (p.glu != Activation::kNone) return record_unfused(recorder, p, shape, record_gemm);
  record_gemm(recorder, p, shape);
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
    for (const uint32_t flags : {0u, kMatmulBias, kMatmulResidual, kMatmulTail}) out.push_back(describe_gemm(format, flags));
  }
}

}  // namespace lahar::ops
