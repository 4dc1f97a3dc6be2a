#include "ops/matmul_paths.h"

namespace lahar::ops {
namespace {

using namespace detail;
using gpu::ShaderId;
using quant::WeightFormat;

constexpr ShaderId kFirstInt8 = ShaderId::gemv_int8_q8_0;
static_assert(static_cast<uint16_t>(ShaderId::gemv_int8_i4) ==
              static_cast<uint16_t>(kFirstInt8) + std::size(kInt8Formats) - 1);

// How many subgroups share the columns of a team: more where there are too few rows to keep a GPU busy, as long as each has
// a few steps to go.
uint32_t default_split(const gpu::Caps& caps, WeightFormat format, uint32_t teams, uint32_t cols, uint32_t subgroup) {
  if (caps.subgroup_size < 16) return 1;
  uint32_t split = 1;
  while (split < 8 && teams * split < 1024 && cols / unit_columns(format) / (subgroup * split) >= 4) split *= 2;
  return split;
}

// Registers hold rows * x_rows sums, and the weights of `rows` rows: fewer rows where there are many of x, or much to a
// unit.
MatmulForm default_gemv(const gpu::Caps& caps, WeightFormat format, uint32_t y_rows, uint32_t cols, uint32_t bucket,
                        bool gated) {
  const uint32_t x_rows = power_of_two_at_least(bucket);
  const bool wide = unit_columns(format) > 16;
  uint32_t rows = x_rows == 1 && unit_columns(format) <= 8 ? 4 : 2;
  if (x_rows == 16 && !gated) rows = 1;
  // Where a driver offers subgroups of 8 or 16 to 32, the wider they are the fewer registers a lane has.
  uint32_t subgroup = caps.subgroup_size;
  if (few_registers(caps) && caps.max_subgroup_size >= 32)
    subgroup = x_rows >= 8 || (wide && (x_rows >= 2 || gated)) ? caps.min_subgroup_size : 16;
  const uint32_t split = default_split(caps, format, ceil_div(y_rows, gated ? rows / 2 : rows), cols, subgroup);
  return {.path = MatmulPath::kGemv,
          .rows = rows,
          .x_rows = x_rows,
          .x_step = caps.subgroup_size < 16 ? 1u : 4u,
          .subgroup = subgroup,
          .teams = std::max(1u, subgroups_for(caps, 128) * caps.subgroup_size / subgroup / split),
          .split = split};
}

MatmulForm default_gemv(const gpu::Caps& caps, const MatmulParams& p) {
  MatmulForm f = default_gemv(caps, p.w->format, matmul_y_rows(p), p.w->cols, p.step.bucket, p.glu != Activation::kNone);
  // All that read the folded norm's rows read all of its sums: larger workgroups leave fewer.
  while (p.y_norm != nullptr && norm_sums(p, f) > params::kSquareParts / 2 && f.teams * f.split <= 8 &&
         2 * f.teams * f.split * f.subgroup <= caps.max_workgroup_invocations)
    f.teams *= 2;
  return f;
}

gpu::KernelDesc describe(ShaderId shader, uint32_t flags, Activation glu, const MatmulForm& f) {
  return {.shader = shader,
          .constants = {f.teams * f.split * f.subgroup,
                        1,
                        1,
                        {f.rows, f.x_rows, f.teams, flags, static_cast<uint32_t>(glu), f.split, f.x_step}},
          .subgroup_size = f.subgroup};
}

bool can(const gpu::Caps& caps, const MatmulParams& p, const MatmulForm& f) {
  const uint32_t subgroups = f.teams * f.split;
  return p.step.bucket <= kGemvRows && f.rows >= 1 && f.rows <= 8 && (p.glu == Activation::kNone || f.rows % 2 == 0) &&
         f.x_rows >= p.step.bucket && f.x_rows <= kGemvRows && f.x_step >= 1 && f.x_step <= kGemvRows &&
         f.rows * f.x_rows <= 64 && can_subgroup(caps, f.subgroup) && f.teams >= 1 && f.teams <= 16 && f.split >= 1 &&
         f.split <= 16 && subgroups <= 16 && subgroups * f.subgroup <= caps.max_workgroup_invocations &&
         // Parts need all of their subgroups to be there.
         (f.split == 1 || caps.full_subgroups);
}

bool can_int8(const gpu::Caps& caps, const MatmulParams& p, const MatmulForm& f) {
  return can(caps, p, f) && p.precision == Precision::kDefault && int8_shader(caps, kFirstInt8, p.w->format) &&
         can_convert(p, RowsKind::kInt8);
}

void list(const gpu::Caps& caps, const MatmulParams& p, std::vector<MatmulForm>& out) {
  const MatmulForm best = default_gemv(caps, p);
  out.push_back(best);
  for (const uint32_t rows : {1u, 2u, 4u})
    for (const uint32_t subgroup : {caps.min_subgroup_size, caps.subgroup_size})
      for (const uint32_t split : {1u, 4u}) {
        MatmulForm f = best;
        f.rows = rows, f.subgroup = subgroup, f.split = split;
        f.teams = caps.is_cpu() ? 1 : std::max(1u, 128 / subgroup / split);
        out.push_back(f);
      }
  // A pipeline for just as many rows; larger workgroups.
  MatmulForm f = best;
  f.x_rows = p.step.bucket;
  out.push_back(f);
  f = best, f.teams *= 2;
  out.push_back(f);
}

void list_int8(const gpu::Caps& caps, const MatmulParams& p, std::vector<MatmulForm>& out) {
  list(caps, p, out);
  for (MatmulForm& f : out) f.path = MatmulPath::kGemvInt8;
}

template <typename Push>
void dispatch(gpu::Recorder& recorder, const MatmulParams& p, const quant::Layout& shape, const MatmulForm& f,
              ShaderId shader, uint32_t flags, const Push& push, const gpu::BufferRange& x) {
  const uint32_t rows = p.glu == Activation::kNone ? f.rows : f.rows / 2;
  record_matmul(recorder, p, shape, describe(shader, flags, p.glu, f), gpu::push_bytes(push),
                spread_groups(ceil_div(matmul_y_rows(p), rows * f.teams), recorder.device().caps()), x);
}

Status record(gpu::Recorder& recorder, const MatmulParams& p, const quant::Layout& shape, const MatmulForm& f) {
  dispatch(recorder, p, shape, f, for_format(ShaderId::gemv_f32, p.w->format), flags_with_tail(p), matmul_push(p, shape),
           p.logit_rows ? p.x.range : rows_of(p.x, p.step.bucket, p.w->cols));
  return {};
}

Status record_int8(gpu::Recorder& recorder, const MatmulParams& p, const quant::Layout& shape, const MatmulForm& f) {
  LAHAR_ASSIGN(const ConvertedX x, converted_x(recorder, p, RowsKind::kInt8));
  dispatch(recorder, p, shape, f, *int8_shader(recorder.device().caps(), kFirstInt8, p.w->format), matmul_flags(p),
           matmul_push(p, shape, x), x.range);
  return {};
}

// A layer's products with the norms around them folded in, for a model 4096 wide: q, k and v; gate and up; the way back; the
// head.
void list_folded(const gpu::Caps& caps, WeightFormat format, uint32_t bucket, std::vector<gpu::KernelDesc>& out) {
  using namespace params;
  const ShaderId shader = for_format(ShaderId::gemv_f32, format);
  quant::Matrix w;
  w.format = format, w.rows = w.cols = 4096;
  const NormFold fold;
  MatmulParams p;
  p.w = &w, p.step.bucket = bucket;
  const MatmulForm plain = default_gemv(caps, p);
  for (const uint32_t flags : {kMatmulNormX, kMatmulGather | kMatmulNormX})
    out.push_back(describe(shader, flags, Activation::kNone, plain));
  p.y_norm = &fold;
  out.push_back(describe(shader, kMatmulResidual | kMatmulNormY, Activation::kNone, default_gemv(caps, p)));
  out.push_back(describe(shader, kMatmulNormX, Activation::kSilu, default_gemv(caps, format, 4096, 4096, bucket, true)));
}

}  // namespace

const MatmulPathOps detail::kGemvOps{can, list, record};
const MatmulPathOps detail::kGemvInt8Ops{can_int8, list_int8, record_int8};

void detail::list_gemv_kernels(const gpu::Caps& caps, std::vector<gpu::KernelDesc>& out) {
  using namespace params;
  for (uint16_t i = 0; i < kFormats; ++i) {
    const auto format = static_cast<WeightFormat>(i);
    const ShaderId shader = for_format(ShaderId::gemv_f32, format);
    const auto int8 = int8_shader(caps, kFirstInt8, format);
    for (const uint32_t bucket : {1u, 2u, 4u, 8u, 16u}) {
      const MatmulForm plain = default_gemv(caps, format, 4096, 4096, bucket, false);
      const MatmulForm gated = default_gemv(caps, format, 4096, 4096, bucket, true);
      for (const uint32_t flags : {0u, kMatmulBias, kMatmulResidual, kMatmulGather | kMatmulSoftcap, kMatmulTail})
        out.push_back(describe(shader, flags, Activation::kNone, plain));
      out.push_back(describe(shader, 0, Activation::kSilu, gated));
      if (!int8) continue;
      for (const uint32_t flags : {0u, kMatmulResidual}) out.push_back(describe(*int8, flags, Activation::kNone, plain));
      out.push_back(describe(*int8, 0, Activation::kSilu, gated));
    }
    const MatmulForm split = default_gemv(caps, format, 256, 8192, 1, false);
    if (split.split > 1 && caps.full_subgroups) out.push_back(describe(shader, 0, Activation::kNone, split));
  }
  for (const WeightFormat format : {WeightFormat::kF16, WeightFormat::kQ8_0, WeightFormat::kQ4_0, WeightFormat::kQ4_K})
    for (const uint32_t bucket : {1u, 4u}) list_folded(caps, format, bucket, out);
}

}  // namespace lahar::ops
