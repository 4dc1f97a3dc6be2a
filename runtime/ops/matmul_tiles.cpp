#include "ops/matmul_paths.h"

namespace lahar::ops {
namespace {

using namespace detail;
using gpu::ShaderId;
using quant::WeightFormat;

constexpr uint32_t kTile = 64;  // of gemm.comp: rows of W, and the most rows of x

// F32 weights have none with sums in fp16.
constexpr uint16_t kFirstHalf = static_cast<uint16_t>(ShaderId::gemm_half_f16) - static_cast<uint16_t>(WeightFormat::kF16);
static_assert(kFirstHalf + static_cast<uint16_t>(WeightFormat::kI4) == static_cast<uint16_t>(ShaderId::gemm_half_i4));

ShaderId shader_for(WeightFormat format, const MatmulForm& f) {
  return for_format(f.half_sums != 0 ? static_cast<ShaderId>(kFirstHalf) : ShaderId::gemm_f32, format);
}

gpu::KernelDesc describe(WeightFormat format, uint32_t flags, const MatmulForm& f) {
  return {.shader = shader_for(format, f), .constants = {256, 1, 1, {flags, f.tile_n}}, .subgroup_size = 0};
}

MatmulForm with_tile(uint32_t tile_n, uint32_t half_sums = 0) {
  return {.path = MatmulPath::kGemm, .tile_m = kTile, .tile_n = tile_n, .half_sums = half_sums};
}

bool can_half(const gpu::Caps& caps, const MatmulParams& p) {
  return p.precision == Precision::kDefault && p.w->format != WeightFormat::kF32 && caps.has(gpu::kFloat16);
}

bool can(const gpu::Caps& caps, const MatmulParams& p, const MatmulForm& f) {
  return (f.half_sums == 0 || (f.half_sums == 1 && can_half(caps, p))) && f.tile_m == kTile &&
         (f.tile_n == 16 || f.tile_n == 32 || f.tile_n == kTile) && caps.max_workgroup_invocations >= 256 &&
         (p.glu == Activation::kNone || !p.logit_rows);
}

void list(const gpu::Caps&, const MatmulParams& p, std::vector<MatmulForm>& out) {
  const uint32_t bucket = p.step.bucket;
  // Narrow tiles are for what would be padding in wide ones.
  const uint32_t best = bucket <= 16 ? 16 : bucket <= 32 ? 32 : kTile;
  for (const uint32_t half_sums : {0u, 1u})
    for (const uint32_t tile_n : {best, 32u, 16u})
      if (tile_n <= best) out.push_back(with_tile(tile_n, half_sums));
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

void detail::list_tile_kernels(const gpu::Caps& caps, std::vector<gpu::KernelDesc>& out) {
  using namespace params;
  for (uint16_t f = 0; f < kFormats; ++f)
    for (const uint32_t flags : {0u, kMatmulBias, kMatmulResidual, kMatmulTail})
      out.push_back(describe(static_cast<WeightFormat>(f), flags, with_tile(kTile)));
  for (const WeightFormat format : {WeightFormat::kQ8_0, WeightFormat::kQ4_K, WeightFormat::kMXFP4})
    out.push_back(describe(format, kMatmulExperts, with_tile(kTile)));
  for (const uint32_t tile_n : {16u, 32u}) out.push_back(describe(WeightFormat::kQ8_0, 0, with_tile(tile_n)));
  if (!caps.has(gpu::kFloat16)) return;
  for (uint16_t f = static_cast<uint16_t>(WeightFormat::kF16); f < kFormats; ++f)
    out.push_back(describe(static_cast<WeightFormat>(f), 0, with_tile(kTile, 1)));
  for (const uint32_t flags : {kMatmulResidual, kMatmulExperts})
    out.push_back(describe(WeightFormat::kQ8_0, flags, with_tile(kTile, 1)));
}

}  // namespace lahar::ops
