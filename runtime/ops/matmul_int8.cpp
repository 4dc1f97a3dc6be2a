#include "ops/matmul_paths.h"

namespace lahar::ops {
namespace {

using namespace detail;
using gpu::ShaderId;

constexpr ShaderId kFirst = ShaderId::gemm_int8_q8_0;
static_assert(static_cast<uint16_t>(ShaderId::gemm_int8_i4) == static_cast<uint16_t>(kFirst) + std::size(kInt8Formats) - 1);
constexpr uint32_t kTile = 64;  // of gemm_int8.comp: rows of W, and the most rows of x

MatmulForm with_tile(uint32_t tile_n) { return {.path = MatmulPath::kGemmInt8, .tile_m = kTile, .tile_n = tile_n}; }

gpu::KernelDesc describe(ShaderId shader, uint32_t flags, const MatmulForm& f) {
  return {.shader = shader, .constants = {256, 1, 1, {flags, f.tile_n}}, .subgroup_size = 0};
}

bool can(const gpu::Caps& caps, const MatmulParams& p, const MatmulForm& f) {
  return f.tile_m == kTile && (f.tile_n == 16 || f.tile_n == 32 || f.tile_n == kTile) &&
         caps.max_workgroup_invocations >= 256 && p.precision == Precision::kDefault &&
         int8_shader(caps, kFirst, p.w->format) && can_convert(p, RowsKind::kInt8) &&
         (p.glu == Activation::kNone || !p.logit_rows);
}

void list(const gpu::Caps&, const MatmulParams& p, std::vector<MatmulForm>& out) {
  const uint32_t bucket = p.step.bucket, best = bucket <= 16 ? 16 : bucket <= 32 ? 32 : kTile;
  for (const uint32_t tile_n : {best, 32u, 16u})
    if (tile_n <= best) out.push_back(with_tile(tile_n));
}

Status record_plain(gpu::Recorder& recorder, const MatmulParams& p, const quant::Layout& shape, const MatmulForm& f) {
  LAHAR_ASSIGN(const ConvertedX x, converted_x(recorder, p, RowsKind::kInt8));
  const gpu::GroupCount rows = spread_groups(ceil_div(p.w->rows, kTile), recorder.device().caps());
  const params::MatmulPush push = matmul_push(p, shape, x);
  record_matmul(recorder, p, shape,
                describe(*int8_shader(recorder.device().caps(), kFirst, p.w->format), matmul_flags(p), f),
                gpu::push_bytes(push), {matmul_row_groups(p, f.tile_n), rows.x, rows.y}, x.range);
  return {};
}

Status record(gpu::Recorder& recorder, const MatmulParams& p, const quant::Layout& shape, const MatmulForm& f) {
  return record_unfused(recorder, p, shape, f, record_plain);
}

}  // namespace

const MatmulPathOps detail::kGemmInt8Ops{can, list, record};

void detail::list_int8_kernels(const gpu::Caps& caps, std::vector<gpu::KernelDesc>& out) {
  for (const quant::WeightFormat format : kInt8Formats)
    if (const auto shader = int8_shader(caps, kFirst, format))
      for (const uint32_t flags : {0u, params::kMatmulResidual, params::kMatmulExperts})
        out.push_back(describe(*shader, flags, with_tile(kTile)));
  if (const auto shader = int8_shader(caps, kFirst, quant::WeightFormat::kQ8_0))
    for (const uint32_t tile_n : {16u, 32u}) out.push_back(describe(*shader, 0, with_tile(tile_n)));
}

}  // namespace lahar::ops
