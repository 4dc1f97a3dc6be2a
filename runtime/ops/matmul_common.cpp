#include <algorithm>

#include "ops/activation.h"
#include "ops/matmul_paths.h"

namespace lahar::ops::detail {

uint32_t matmul_y_rows(const MatmulParams& p) { return p.glu == Activation::kNone ? p.w->rows : p.w->rows / 2; }

uint64_t fold_address(const MatmulParams& p) {
  return p.x_norm != nullptr ? p.x_norm->block.address() : p.y_norm != nullptr ? p.y_norm->block.address() : 0;
}

uint32_t matmul_x_rows(const MatmulParams& p) {
  if (!p.logit_rows || p.x.stride == 0) return p.step.bucket;
  return static_cast<uint32_t>((p.x.range.size / sizeof(float) - p.w->cols) / p.x.stride + 1);
}

uint32_t matmul_flags(const MatmulParams& p) {
  return (p.bias ? params::kMatmulBias : 0) | (p.residual.range ? params::kMatmulResidual : 0) |
         (p.softcap > 0 ? params::kMatmulSoftcap : 0) | (p.logit_rows ? params::kMatmulGather : 0) |
         (p.x_norm != nullptr ? params::kMatmulNormX : 0) | (p.y_norm != nullptr ? params::kMatmulNormY : 0) |
         (p.grouped != nullptr ? params::kMatmulExperts : 0);
}

Status check_norm_fold(std::string_view label, const NormFold& fold, uint32_t width, uint32_t rows) {
  if (!fold.block || fold.block.size < sizeof(params::NormFold)) return invalid(label, "the folded norm's block is missing");
  LAHAR_TRY(check_vector(label, "the folded norm's weight", fold.weight, width));
  LAHAR_TRY(check_rows(label, "the folded norm's rows", fold.scaled, rows, width));
  if (fold.squares.size < norm_fold_squares_bytes(rows) || fold.squares.address() % 16 != 0)
    return invalid(label, "the folded norm's squares need " + std::to_string(norm_fold_squares_bytes(rows)) + " bytes");
  return {};
}

uint32_t norm_sums(const MatmulParams& p, const MatmulForm& f) {
  return ceil_div(matmul_y_rows(p), std::max(1u, f.rows * f.teams));
}

void add_x_norm(const NormFold& fold, Ranges& reads) { reads.add(fold.block), reads.add(fold.squares); }

void add_y_norm(const NormFold& fold, uint32_t rows, uint32_t width, Ranges& reads, Ranges& writes) {
  reads.add(fold.block), reads.add(fold.weight);
  writes.add(rows_of(fold.scaled, rows, width)), writes.add(fold.squares);
}

namespace {

Status check_norm_fold(const MatmulParams& p) {
  if (p.x_norm == nullptr && p.y_norm == nullptr) return {};
  if (p.x_norm != nullptr && p.y_norm != nullptr) return invalid(p.label, "a norm is folded in on both sides");
  const NormFold& fold = p.x_norm != nullptr ? *p.x_norm : *p.y_norm;
  LAHAR_TRY(detail::check_norm_fold(p.label, fold, p.x_norm != nullptr ? p.w->cols : matmul_y_rows(p),
                                    p.logit_rows ? 1 : p.step.bucket));
  if (p.x_norm != nullptr && !same_rows(p.x, fold.scaled)) return invalid(p.label, "x is not what the folded norm scaled");
  if (p.y_norm != nullptr && (overlaps(p.y.range, fold.scaled.range) || overlaps(p.x.range, fold.scaled.range)))
    return invalid(p.label, "the folded norm's rows overlap x or y");
  return {};
}

}  // namespace

Status check_matmul(const MatmulParams& p, quant::Layout& shape) {
  LAHAR_TRY(check_matrix(p.label, p.w, shape));
  const uint32_t bucket = p.step.bucket;
  LAHAR_TRY(check_step(p.label, {p.step.state, p.logit_rows ? 1 : bucket}, UINT32_MAX));
  if (bucket == 0) return invalid(p.label, "a bucket of no rows");
  if (p.glu != Activation::kNone && p.w->rows % 2 != 0)
    return invalid(p.label, "a gated activation of " + std::to_string(p.w->rows) + " rows, an odd number");
  if (p.glu != Activation::kNone && p.residual.range) return invalid(p.label, "a gated activation takes no residual");
  const uint32_t y_rows = matmul_y_rows(p);
  LAHAR_TRY(check_rows(p.label, "x", p.x, p.logit_rows ? 1 : bucket, p.w->cols));
  LAHAR_TRY(check_rows(p.label, "y", p.y, bucket, y_rows));
  if (p.bias) LAHAR_TRY(check_vector(p.label, "bias", p.bias, p.w->rows));
  if (p.residual.range) {
    LAHAR_TRY(check_rows(p.label, "residual", p.residual, bucket, p.w->rows));
    if (!same_rows(p.residual, p.y) && overlaps(rows_of(p.residual, bucket, p.w->rows), rows_of(p.y, bucket, p.w->rows)))
      return invalid(p.label, "y overlaps the residual in other rows");
  }
  const gpu::BufferRange x = p.logit_rows ? p.x.range : rows_of(p.x, bucket, p.w->cols);
  if (overlaps(x, rows_of(p.y, bucket, y_rows))) return invalid(p.label, "y overlaps x");
  LAHAR_TRY(check_norm_fold(p));
  // gemv.comp reaches rows of x by a 32-bit offset.
  if (p.x.range.size > UINT32_MAX) return invalid(p.label, "x is over 4 GiB");
  return {};
}

void record_matmul(gpu::Recorder& recorder, const MatmulParams& p, const quant::Layout& shape, const gpu::KernelDesc& kernel,
                   std::span<const std::byte> push, gpu::GroupCount groups) {
  record_matmul(recorder, p, shape, kernel, push, groups, p.logit_rows ? p.x.range : rows_of(p.x, p.step.bucket, p.w->cols));
}

namespace {

void record_grouped(gpu::Recorder& recorder, const MatmulParams& p, const gpu::KernelDesc& kernel,
                    std::span<const std::byte> push, gpu::GroupCount groups, const gpu::BufferRange& x) {
  const ExpertRows& rows = *p.grouped;
  Ranges reads{x, rows.table, rows.tiles, rows.sorted, p.step.state};
  for (const gpu::BufferRange& slab : rows.slabs) reads.add(slab);
  const Ranges writes{rows_of(p.y, rows.pairs, p.w->rows)};
  recorder.dispatch({.label = p.label,
                     .kernel = recorder.device().kernels().get(kernel),
                     .push = push,
                     .groups = groups,
                     .indirect = groups.x == 0 ? rows.tiles.part(0, 12) : gpu::BufferRange{},
                     .reads = reads,
                     .writes = writes});
}

}  // namespace

uint32_t matmul_row_groups(const MatmulParams& p, uint32_t tile) {
  if (p.grouped == nullptr) return ceil_div(p.step.bucket, tile);
  return p.grouped->pairs / tile + std::min(p.grouped->experts, p.grouped->pairs);
}

void record_matmul(gpu::Recorder& recorder, const MatmulParams& p, const quant::Layout& shape, const gpu::KernelDesc& kernel,
                   std::span<const std::byte> push, gpu::GroupCount groups, const gpu::BufferRange& x) {
  const uint32_t bucket = p.step.bucket;
  if (p.grouped != nullptr) return record_grouped(recorder, p, kernel, push, groups, x);
  Ranges reads{plane_range(*p.w, shape, 0),
               plane_range(*p.w, shape, 1),
               plane_range(*p.w, shape, 2),
               x,
               p.bias,
               p.residual.range ? rows_of(p.residual, bucket, p.w->rows) : gpu::BufferRange{},
               p.step.state};
  Ranges writes{rows_of(p.y, bucket, matmul_y_rows(p))};
  if (p.x_norm != nullptr) add_x_norm(*p.x_norm, reads);
  if (p.y_norm != nullptr) add_y_norm(*p.y_norm, bucket, p.w->rows, reads, writes);
  recorder.dispatch({.label = p.label,
                     .kernel = recorder.device().kernels().get(kernel),
                     .push = push,
                     .groups = groups,
                     .reads = reads,
                     .writes = writes});
}

static_assert(static_cast<uint16_t>(gpu::ShaderId::gemv_i4) ==
              static_cast<uint16_t>(gpu::ShaderId::gemv_f32) + kFormats - 1);
static_assert(static_cast<uint16_t>(gpu::ShaderId::gemm_i4) ==
              static_cast<uint16_t>(gpu::ShaderId::gemm_f32) + kFormats - 1);
static_assert(static_cast<uint16_t>(gpu::ShaderId::gemm_coop_i4) ==
              static_cast<uint16_t>(gpu::ShaderId::gemm_coop_f32) + kFormats - 1);

uint32_t unit_columns(quant::WeightFormat format) {
  using quant::WeightFormat;
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

uint32_t flags_with_tail(const MatmulParams& p) {
  return matmul_flags(p) | (p.w->cols % unit_columns(p.w->format) != 0 ? params::kMatmulTail : 0);
}

params::MatmulPush matmul_push(const MatmulParams& p, const quant::Layout& shape) {
  params::MatmulPush push{};
  push_matrix(*p.w, shape, push);
  push.x = p.x.range.address(), push.y = p.y.range.address();
  push.bias = p.bias.address(), push.residual = p.residual.range.address(), push.step = p.step.state.address();
  push.rows = matmul_y_rows(p);
  push.x_stride = p.x.stride, push.y_stride = p.y.stride, push.residual_stride = p.residual.stride;
  push.bucket = p.step.bucket;
  push.scale = p.scale, push.softcap = p.softcap, push.residual_scale = p.residual_scale;
  push.x_rows = matmul_x_rows(p);
  push.fold = fold_address(p);
  if (p.grouped != nullptr) push_expert_rows(*p.grouped, push);
  return push;
}

Status record_unfused(gpu::Recorder& recorder, const MatmulParams& p, const quant::Layout& shape, const MatmulForm& form,
                      Status (*record)(gpu::Recorder&, const MatmulParams&, const quant::Layout&, const MatmulForm&)) {
  if (p.glu == Activation::kNone) return record(recorder, p, shape, form);
  LAHAR_TRY(check_rows(p.label, "glu_scratch", p.glu_scratch, p.step.bucket, p.w->rows));
  const gpu::BufferRange scratch = rows_of(p.glu_scratch, p.step.bucket, p.w->rows);
  if (overlaps(scratch, p.x.range) || overlaps(scratch, rows_of(p.y, p.step.bucket, matmul_y_rows(p))))
    return invalid(p.label, "glu_scratch overlaps x or y");
  MatmulParams plain = p;
  plain.glu = Activation::kNone;
  plain.y = p.glu_scratch;
  LAHAR_TRY(record(recorder, plain, shape, form));
  return activation(recorder, {.kind = p.glu,
                               .gated = true,
                               .x = p.glu_scratch,
                               .y = p.y,
                               .width = matmul_y_rows(p),
                               .step = p.step,
                               .label = p.label});
}

bool can_convert(const MatmulParams& p, RowsKind kind) {
  const uint64_t bytes = uint64_t{p.step.bucket} * converted_row_bytes(kind, p.w->cols);
  if (!p.x_scratch || p.x_scratch.size < bytes || p.x_scratch.address() % 16 != 0) return false;
  const gpu::BufferRange scratch = p.x_scratch.part(0, bytes);
  return !overlaps(scratch, p.x.range) && !overlaps(scratch, p.y.range) && !overlaps(scratch, p.residual.range) &&
         !overlaps(scratch, p.glu_scratch.range);
}

Result<ConvertedX> converted_x(gpu::Recorder& recorder, const MatmulParams& p, RowsKind kind) {
  const uint32_t row_bytes = converted_row_bytes(kind, p.w->cols);
  const uint64_t bytes = uint64_t{p.step.bucket} * row_bytes;
  LAHAR_TRY(convert_rows(recorder, {.kind = kind,
                                    .x = p.x,
                                    .width = p.w->cols,
                                    .y = p.x_scratch,
                                    .step = p.step,
                                    .logit_rows = p.logit_rows,
                                    .label = p.label}));
  return ConvertedX{p.x_scratch.part(0, bytes), row_bytes};
}

params::MatmulPush matmul_push(const MatmulParams& p, const quant::Layout& shape, const ConvertedX& x) {
  params::MatmulPush push = matmul_push(p, shape);
  push.x = x.range.address(), push.x_stride = x.row_bytes;
  return push;
}

std::optional<gpu::ShaderId> int8_shader(const gpu::Caps& caps, gpu::ShaderId first, quant::WeightFormat format) {
  const auto* found = std::find(std::begin(kInt8Formats), std::end(kInt8Formats), format);
  if (found == std::end(kInt8Formats)) return std::nullopt;
  const auto id = static_cast<gpu::ShaderId>(static_cast<uint16_t>(first) + (found - kInt8Formats));
  const gpu::ShaderInfo shader = gpu::shader_info(id);
  if (shader.spirv.empty() || !caps.has(shader.required_features)) return std::nullopt;
  return id;
}

gpu::GroupCount spread_groups(uint64_t n, const gpu::Caps& caps) {
  const uint64_t limit = std::min<uint64_t>(caps.max_workgroup_count[0], 65535);
  const uint64_t y = (n + limit - 1) / limit;
  return {static_cast<uint32_t>((n + y - 1) / y), static_cast<uint32_t>(y), 1};
}

}  // namespace lahar::ops::detail

namespace lahar::ops {

uint64_t matmul_scratch_bytes(uint32_t cols, uint32_t bucket) {
  return uint64_t{bucket} * std::max(converted_row_bytes(RowsKind::kInt8, cols), converted_row_bytes(RowsKind::kHalf, cols));
}

}  // namespace lahar::ops
