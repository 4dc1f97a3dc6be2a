#include "ops/matmul_paths.h"

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

// The kernel's parts are made of 16 x 16 and its tiles 32 deep, or a multiple.
bool fits(const Shape& s) { return s.m >= 4 && s.n > 0 && s.k >= 4 && 16 % s.m == 0 && 16 % s.n == 0 && 32 % s.k == 0; }

// The largest; all zero without one.
Shape best_shape(const std::vector<Shape>& shapes) {
  Shape best;
  for (const Shape& s : shapes)
    if (fits(s) && s.m * s.n * s.k > best.m * best.n * best.k) best = s;
  return best;
}

MatmulForm with(const Shape& s, uint32_t subgroup, uint32_t tile_m, uint32_t tile_n, uint32_t part_m, uint32_t part_n) {
  return {.path = MatmulPath::kCoop,
          .subgroup = subgroup,
          .tile_m = tile_m,
          .tile_n = tile_n,
          .depth = 32,
          .part_m = part_m,
          .part_n = part_n,
          .m = s.m,
          .n = s.n,
          .k = s.k};
}

// Where a driver offers subgroups of 8 or 16 to 32, its matrices are those of the narrowest.
bool narrow(const gpu::Caps& caps) { return few_registers(caps) && caps.max_subgroup_size >= 32; }

// Narrow tiles are for what would be padding in wide ones; wide ones where there is work for many workgroups. A narrow
// subgroup has registers for the sums of smaller parts.
MatmulForm default_coop(const gpu::Caps& caps, uint32_t rows, uint32_t bucket) {
  const Shape s = best_shape(caps.cooperative_matrix_shapes);
  const uint32_t subgroup = narrow(caps) ? caps.min_subgroup_size : caps.subgroup_size;
  if (bucket <= 16) return with(s, subgroup, 64, 16, 16, 16);
  if (bucket <= 32) return subgroup < 32 ? with(s, subgroup, 64, 32, 16, 16) : with(s, subgroup, 64, 32, 32, 16);
  if (subgroup < 32) return with(s, subgroup, 64, 64, 16, 16);
  if (bucket > 64 && uint64_t{rows} * bucket >= uint64_t{128} * 128 * 96 && caps.max_shared_memory >= 49152)
    return with(s, subgroup, 128, 128, 64, 32);
  return with(s, subgroup, 64, 64, 32, 32);
}

uint32_t invocations(const MatmulForm& f) { return f.tile_m / f.part_m * (f.tile_n / f.part_n) * f.subgroup; }

gpu::KernelDesc describe(WeightFormat format, uint32_t flags, const MatmulForm& f) {
  // fp16 sums need x to be small: at most 1.
  const float range = f.half_sums != 0 ? 1.0f / 256 : 1.0f;
  const uint32_t lanes = invocations(f);
  return {.shader = *shader_of(format, f),
          .constants = {lanes,
                        1,
                        1,
                        {flags | (f.half_rows != 0 ? params::kMatmulHalfRows : 0), f.m, f.n, f.k, f.tile_m, f.tile_n,
                         f.part_m, f.part_n, f.depth, lanes, bits_of(range)}},
          .subgroup_size = f.subgroup};
}

uint64_t shared_bytes(const MatmulForm& f) {
  const uint64_t tiles = uint64_t{f.tile_m + f.tile_n} * (f.depth + 8) * 2;
  const uint64_t result = f.elements != 0 ? 0 : uint64_t{f.tile_m / f.part_m} * (f.tile_n / f.part_n) * f.m * f.n * 4;
  return tiles + result + f.tile_n * 4;
}

bool power_of_two(uint32_t v) { return v != 0 && (v & (v - 1)) == 0; }

bool can(const gpu::Caps& caps, const MatmulParams& p, const MatmulForm& f) {
  if (p.precision != Precision::kDefault || (p.glu != Activation::kNone && p.logit_rows)) return false;
  const auto id = shader_of(p.w->format, f);
  if (!id) return false;
  const gpu::ShaderInfo shader = gpu::shader_info(*id);
  if (shader.spirv.empty() || !caps.has(shader.required_features)) return false;
  const auto& shapes = f.half_sums != 0 ? caps.half_matrix_shapes : caps.cooperative_matrix_shapes;
  if (std::none_of(shapes.begin(), shapes.end(),
                   [&](const Shape& s) { return s.m == f.m && s.n == f.n && s.k == f.k && fits(s); }))
    return false;
  for (const uint32_t v : {f.tile_m, f.tile_n, f.part_m, f.part_n})
    if (!power_of_two(v) || v < 16 || v > 256) return false;
  return f.part_m <= f.tile_m && f.part_n <= f.tile_n && f.part_m * f.part_n <= 64 * 64 &&
         (f.depth == 32 || f.depth == 64) && can_subgroup(caps, f.subgroup) && invocations(f) / f.subgroup <= 16 &&
         invocations(f) <= caps.max_workgroup_invocations && shared_bytes(f) <= caps.max_shared_memory &&
         (f.half_rows == 0 || can_convert(p, RowsKind::kHalf));
}

void list(const gpu::Caps& caps, const MatmulParams& p, std::vector<MatmulForm>& out) {
  if (caps.cooperative_matrix_shapes.empty()) return;
  const uint32_t bucket = p.step.bucket;
  std::vector<MatmulForm> tiles = {default_coop(caps, p.w->rows, bucket)};
  const MatmulForm best = tiles[0];
  const Shape s = best_shape(caps.cooperative_matrix_shapes);
  if (bucket > 16) tiles.push_back(with(s, best.subgroup, 64, 32, 32, 16));
  if (bucket > 32) tiles.push_back(with(s, best.subgroup, 64, 64, 32, 32));
  if (bucket > 64) {
    tiles.push_back(with(s, best.subgroup, 128, 64, 32, 32));
    tiles.push_back(with(s, best.subgroup, 128, 128, 64, 32));
  }
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
  if (const Shape half = best_shape(caps.half_matrix_shapes); half.m > 0) {
    f = with(half, best.subgroup, best.tile_m, best.tile_n, best.part_m, best.part_n);
    f.half_sums = 1;
    add(f);
  }
  for (const Shape& other : caps.cooperative_matrix_shapes)
    if (fits(other)) add(with(other, best.subgroup, best.tile_m, best.tile_n, best.part_m, best.part_n));
  for (const uint32_t subgroup : {caps.min_subgroup_size, caps.max_subgroup_size})
    if (subgroup >= 16) add(with(s, subgroup, best.tile_m, best.tile_n, best.part_m, best.part_n));
}

Status record_plain(gpu::Recorder& recorder, const MatmulParams& p, const quant::Layout& shape, const MatmulForm& f) {
  const gpu::GroupCount rows = spread_groups(ceil_div(p.w->rows, f.tile_m), recorder.device().caps());
  const gpu::GroupCount groups{ceil_div(p.step.bucket, f.tile_n), rows.x, rows.y};
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
