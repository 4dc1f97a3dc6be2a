#include "ops/matmul_coop.h"

namespace lahar::ops {
namespace {

using namespace detail;
using gpu::ShaderId;
using quant::WeightFormat;
using Shape = gpu::CooperativeMatrixShape;

// Formats with the variants that sum up in fp16, and that store elements straight from the matrices; in the order of the
// kernels' variants.
constexpr WeightFormat kMainFormats[] = {WeightFormat::kF16, WeightFormat::kQ8_0, WeightFormat::kQ4_0, WeightFormat::kQ4_K,
                                         WeightFormat::kQ6_K};
constexpr auto kLastMain = static_cast<uint16_t>(std::size(kMainFormats) - 1);
static_assert(static_cast<uint16_t>(ShaderId::gemm_coop_half_q6_k) ==
              static_cast<uint16_t>(ShaderId::gemm_coop_half_f16) + kLastMain);
static_assert(static_cast<uint16_t>(ShaderId::gemm_coop_elements_q6_k) ==
              static_cast<uint16_t>(ShaderId::gemm_coop_elements_f16) + kLastMain);

std::optional<ShaderId> shader_of(WeightFormat format, const MatmulForm& f) {
  if (f.half_sums == 0 && f.elements == 0) return for_format(ShaderId::gemm_coop_f32, format);
  const auto* found = std::find(std::begin(kMainFormats), std::end(kMainFormats), format);
  if (found == std::end(kMainFormats) || (f.half_sums != 0 && f.elements != 0)) return std::nullopt;
  const ShaderId first = f.half_sums != 0 ? ShaderId::gemm_coop_half_f16 : ShaderId::gemm_coop_elements_f16;
  return static_cast<ShaderId>(static_cast<uint16_t>(first) + (found - kMainFormats));
}

MatmulForm default_coop(const gpu::Caps& caps, uint32_t rows, uint32_t bucket) {
  return default_tile(caps, MatmulPath::kCoop, best_shape(caps.cooperative_matrix_shapes), rows, bucket);
}

gpu::KernelDesc describe(WeightFormat format, uint32_t flags, const MatmulForm& f) {
  // fp16 sums need x to be small: at most 1.
  const float range = f.half_sums != 0 ? 1.0f / 256 : 1.0f;
  const uint32_t lanes = tile_invocations(f);
  return {.shader = *shader_of(format, f),
          .constants = {lanes,
                        1,
                        1,
                        {flags | (f.half_rows != 0 ? params::kMatmulHalfRows : 0), f.m, f.n, f.k, f.tile_m, f.tile_n,
                         f.part_m, f.part_n, f.depth, lanes, bits_of(range)}},
          .subgroup_size = f.subgroup};
}

bool can(const gpu::Caps& caps, const MatmulParams& p, const MatmulForm& f) {
  if (p.precision != Precision::kDefault || (p.glu != Activation::kNone && p.logit_rows)) return false;
  const auto id = shader_of(p.w->format, f);
  if (!id) return false;
  const gpu::ShaderInfo shader = gpu::shader_info(*id);
  if (shader.spirv.empty() || !caps.has(shader.required_features)) return false;
  const auto& shapes = f.half_sums != 0 ? caps.half_matrix_shapes : caps.cooperative_matrix_shapes;
  return can_tile(caps, shapes, f, 2) && (f.half_rows == 0 || can_convert(p, RowsKind::kHalf));
}

void list(const gpu::Caps& caps, const MatmulParams& p, std::vector<MatmulForm>& out) {
  if (caps.cooperative_matrix_shapes.empty()) return;
  const MatmulForm best = default_coop(caps, p.w->rows, p.step.bucket);
  std::vector<MatmulForm> tiles = {best};
  for (const MatmulForm& f : other_tiles(caps, best, p.step.bucket)) tiles.push_back(f);
  const auto add = [&](MatmulForm f) {
    out.push_back(f);
    f.half_rows = 1;
    out.push_back(f);
  };
  // x converted beforehand moves half as much of it; the default where there is scratch memory.
  for (MatmulForm f : tiles) {
    f.half_rows = 1;
    out.push_back(f);
    f.half_rows = 0;
    out.push_back(f);
  }
  MatmulForm f = best;
  f.depth = 64;
  add(f);
  f = best, f.elements = 1;
  add(f);
  const auto shaped = [&](const Shape& s) {
    f = best;
    f.m = s.m, f.n = s.n, f.k = s.k;
  };
  if (const Shape half = best_shape(caps.half_matrix_shapes); half.m > 0) {
    shaped(half), f.half_sums = 1;
    add(f);
  }
  for (const Shape& other : caps.cooperative_matrix_shapes) shaped(other), add(f);
  for (const uint32_t subgroup : {caps.min_subgroup_size, caps.max_subgroup_size}) {
    f = best, f.subgroup = subgroup;
    if (subgroup >= 16) add(f);
  }
}

Status record_plain(gpu::Recorder& recorder, const MatmulParams& p, const quant::Layout& shape, const MatmulForm& f) {
  const gpu::GroupCount groups = tile_groups(recorder.device().caps(), p, f);
  const gpu::KernelDesc kernel = describe(p.w->format, flags_with_tail(p), f);
  if (f.half_rows != 0) {
    LAHAR_ASSIGN(const ConvertedX x, converted_x(recorder, p, RowsKind::kHalf));
    const params::MatmulPush push = matmul_push(p, shape, x);
    record_matmul(recorder, p, shape, kernel, gpu::push_bytes(push), groups, x.range);
  } else {
    const params::MatmulPush push = matmul_push(p, shape);
    record_matmul(recorder, p, shape, kernel, gpu::push_bytes(push), groups);
  }
  return {};
}

Status record(gpu::Recorder& recorder, const MatmulParams& p, const quant::Layout& shape, const MatmulForm& f) {
  return record_unfused(recorder, p, shape, f, record_plain);
}

}  // namespace

const MatmulPathOps detail::kCoopOps{can, list, record};

void detail::list_coop_kernels(const gpu::Caps& caps, std::vector<gpu::KernelDesc>& out) {
  using namespace params;
  if (best_shape(caps.cooperative_matrix_shapes).m == 0) return;
  const auto add = [&](WeightFormat format, uint32_t flags, MatmulForm f) {
    f.half_rows = (flags & kMatmulTail) != 0 ? 0 : 1;
    if (caps.has(gpu::shader_info(*shader_of(format, f)).required_features)) out.push_back(describe(format, flags, f));
  };
  for (uint16_t f = 0; f < kFormats; ++f)
    for (const uint32_t flags : {0u, kMatmulBias, kMatmulResidual, kMatmulTail})
      add(static_cast<WeightFormat>(f), flags, default_coop(caps, 4096, 64));
  for (const WeightFormat format : kMainFormats) {
    for (const uint32_t bucket : {16u, 32u, 512u}) add(format, 0, default_coop(caps, 4096, bucket));
    MatmulForm f = default_coop(caps, 4096, 64);
    f.elements = 1;
    add(format, 0, f);
    f.elements = 0, f.half_sums = 1;
    const Shape half = best_shape(caps.half_matrix_shapes);
    f.m = half.m, f.n = half.n, f.k = half.k;
    if (half.m > 0) add(format, 0, f);
  }
}

}  // namespace lahar::ops
