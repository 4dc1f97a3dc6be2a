#include "ops/matmul_paths.h"

namespace lahar::ops {
namespace {

using namespace detail;
using gpu::ShaderId;
using quant::WeightFormat;

constexpr uint32_t kTile = 64;  // of gemm.comp: rows of W, and the most rows of x

gpu::KernelDesc describe(WeightFormat format, uint32_t flags, const MatmulForm& f) {
  return {.shader = for_format(ShaderId::gemm_f32, format), .constants = {256, 1, 1, {flags, f.tile_n}}, .subgroup_size = 0};
}

MatmulForm with_tile(uint32_t tile_n) { return {.path = MatmulPath::kGemm, .tile_m = kTile, .tile_n = tile_n}; }

bool can(const gpu::Caps& caps, const MatmulParams& p, const MatmulForm& f) {
  return f.tile_m == kTile && (f.tile_n == 16 || f.tile_n == 32 || f.tile_n == kTile) &&
         caps.max_workgroup_invocations >= 256 && (p.glu == Activation::kNone || !p.logit_rows);
}

void list(const gpu::Caps&, const MatmulParams& p, std::vector<MatmulForm>& out) {
  const uint32_t bucket = p.step.bucket;
  // Narrow tiles are for what would be padding in wide ones.
  const uint32_t best = bucket <= 16 ? 16 : bucket <= 32 ? 32 : kTile;
  for (const uint32_t tile_n : {best, 32u, 16u})
    if (tile_n <= best) out.push_back(with_tile(tile_n));
}

Status record_plain(gpu::Recorder& recorder, const MatmulParams& p, const quant::Layout& shape, const MatmulForm& f) {
  const gpu::GroupCount rows = spread_groups(ceil_div(p.w->rows, kTile), recorder.device().caps());
  const params::MatmulPush push = matmul_push(p, shape);
  record_matmul(recorder, p, shape, describe(p.w->format, flags_with_tail(p), f), gpu::push_bytes(push),
                {matmul_row_groups(p, f.tile_n), rows.x, rows.y});
  return {};
}

Status record(gpu::Recorder& recorder, const MatmulParams& p, const quant::Layout& shape, const MatmulForm& f) {
  return record_unfused(recorder, p, shape, f, record_plain);
}

}  // namespace

const MatmulPathOps detail::kGemmOps{can, list, record};

void detail::list_tile_kernels(const gpu::Caps&, std::vector<gpu::KernelDesc>& out) {
  using namespace params;
  for (uint16_t f = 0; f < kFormats; ++f)
    for (const uint32_t flags : {0u, kMatmulBias, kMatmulResidual, kMatmulTail})
      out.push_back(describe(static_cast<WeightFormat>(f), flags, with_tile(kTile)));
  for (const WeightFormat format : {WeightFormat::kQ8_0, WeightFormat::kQ4_K, WeightFormat::kMXFP4})
    out.push_back(describe(format, kMatmulExperts, with_tile(kTile)));
  for (const uint32_t tile_n : {16u, 32u}) out.push_back(describe(WeightFormat::kQ8_0, 0, with_tile(tile_n)));
}

}  // namespace lahar::ops
