#include "ops/matmul_coop.h"

namespace lahar::ops {
namespace {

using namespace detail;
using gpu::ShaderId;
using quant::WeightFormat;

// In the order of the kernel's variants.
constexpr WeightFormat kWithScales[] = {WeightFormat::kQ8_0, WeightFormat::kQ4_0, WeightFormat::kI8};
static_assert(static_cast<uint16_t>(ShaderId::gemm_coop_int8_i8) ==
              static_cast<uint16_t>(ShaderId::gemm_coop_int8_q8_0) + std::size(kWithScales) - 1);

std::optional<ShaderId> shader_of(const gpu::Caps& caps, WeightFormat format) {
  const auto* found = std::find(std::begin(kWithScales), std::end(kWithScales), format);
  if (found == std::end(kWithScales)) return std::nullopt;
  const auto id =
      static_cast<ShaderId>(static_cast<uint16_t>(ShaderId::gemm_coop_int8_q8_0) + (found - std::begin(kWithScales)));
  const gpu::ShaderInfo shader = gpu::shader_info(id);
  if (shader.spirv.empty() || !caps.has(shader.required_features)) return std::nullopt;
  return id;
}

MatmulForm default_int8(const gpu::Caps& caps, uint32_t rows, uint32_t bucket) {
  return default_tile(caps, MatmulPath::kCoopInt8, best_shape(caps.int8_matrix_shapes), rows, bucket);
}

gpu::KernelDesc describe(ShaderId shader, uint32_t flags, const MatmulForm& f) {
  const uint32_t lanes = tile_invocations(f);
  return {.shader = shader,
          .constants = {lanes, 1, 1, {flags, f.m, f.n, f.k, f.tile_m, f.tile_n, f.part_m, f.part_n, f.depth, lanes}},
          .subgroup_size = f.subgroup};
}

bool can(const gpu::Caps& caps, const MatmulParams& p, const MatmulForm& f) {
  // The kernel steps through shared memory by eight bytes, and takes one scale for 32 columns.
  return p.precision == Precision::kDefault && (p.glu == Activation::kNone || !p.logit_rows) && f.k % 8 == 0 &&
         f.half_sums == 0 && f.half_rows == 0 && f.elements == 0 && p.w->group % 32 == 0 && shader_of(caps, p.w->format) &&
         can_tile(caps, caps.int8_matrix_shapes, f, 1) && can_convert(p, RowsKind::kInt8);
}

void list(const gpu::Caps& caps, const MatmulParams& p, std::vector<MatmulForm>& out) {
  if (caps.int8_matrix_shapes.empty()) return;
  const MatmulForm best = default_int8(caps, p.w->rows, p.step.bucket);
  out.push_back(best);
  for (const MatmulForm& f : other_tiles(caps, best, p.step.bucket)) out.push_back(f);
  MatmulForm f = best;
  f.depth = 64;
  out.push_back(f);
  for (const gpu::CooperativeMatrixShape& s : caps.int8_matrix_shapes) {
    f = best, f.m = s.m, f.n = s.n, f.k = s.k;
    out.push_back(f);
  }
  for (const uint32_t subgroup : {caps.min_subgroup_size, caps.max_subgroup_size}) {
    f = best, f.subgroup = subgroup;
    if (subgroup >= 16) out.push_back(f);
  }
}

Status record_plain(gpu::Recorder& recorder, const MatmulParams& p, const quant::Layout& shape, const MatmulForm& f) {
  const gpu::Caps& caps = recorder.device().caps();
  LAHAR_ASSIGN(const ConvertedX x, converted_x(recorder, p, RowsKind::kInt8));
  const params::MatmulPush push = matmul_push(p, shape, x);
  record_matmul(recorder, p, shape, describe(*shader_of(caps, p.w->format), matmul_flags(p), f), gpu::push_bytes(push),
                tile_groups(caps, p, f), x.range);
  return {};
}

Status record(gpu::Recorder& recorder, const MatmulParams& p, const quant::Layout& shape, const MatmulForm& f) {
  return record_unfused(recorder, p, shape, f, record_plain);
}

}  // namespace

const MatmulPathOps detail::kCoopInt8Ops{can, list, record};

void detail::list_coop_int8_kernels(const gpu::Caps& caps, std::vector<gpu::KernelDesc>& out) {
  if (best_shape(caps.int8_matrix_shapes).m == 0) return;
  for (const WeightFormat format : kWithScales)
    if (const auto shader = shader_of(caps, format))
      for (const uint32_t bucket : {16u, 64u, 512u}) out.push_back(describe(*shader, 0, default_int8(caps, 4096, bucket)));
}

}  // namespace lahar::ops
