#include "ops/matmul_coop.h"

namespace lahar::ops {
namespace {

using namespace detail;
using gpu::ShaderId;
using quant::WeightFormat;

// quant/element.glsl has these.
constexpr WeightFormat kElementFormats[] = {WeightFormat::kF16,  WeightFormat::kQ8_0, WeightFormat::kQ4_0,
                                            WeightFormat::kQ4_K, WeightFormat::kQ6_K, WeightFormat::kMXFP4,
                                            WeightFormat::kI4};

constexpr uint32_t kMostSums = 128;  // of an invocation

ShaderId shader_of(const MatmulForm& f) {
  return f.elements != 0 ? ShaderId::gemm_coop2_stand_in : ShaderId::gemm_coop2_tensor;
}

gpu::KernelDesc describe(WeightFormat format, uint32_t flags, const MatmulForm& f) {
  const uint32_t lanes = f.subgroup * f.teams;
  return {
      .shader = shader_of(f),
      .constants = {lanes,
                    1,
                    1,
                    {flags | params::kMatmulHalfRows, static_cast<uint32_t>(format), f.tile_m, f.tile_n, f.depth, lanes}},
      .subgroup_size = f.subgroup};
}

// The device's matrices that the form's can be made of.
bool fits(const gpu::Caps& caps, const MatmulForm& f) {
  const auto whole = [&](uint32_t size, uint32_t part) {
    return size >= 8 && size <= std::min(caps.max_matrix_dimension, 256u) && part > 0 && size % part == 0;
  };
  return std::any_of(caps.flexible_matrices.begin(), caps.flexible_matrices.end(), [&](const gpu::FlexibleMatrix& m) {
    return m.invocations == (f.elements != 0 ? 0 : f.subgroup * f.teams) && whole(f.tile_m, m.m) && whole(f.tile_n, m.n) &&
           whole(f.depth, m.k);
  });
}

bool can(const gpu::Caps& caps, const MatmulParams& p, const MatmulForm& f) {
  // The kernel knows nothing of experts, whose rows of x lie apart.
  if (p.precision != Precision::kDefault || (p.glu != Activation::kNone && p.logit_rows) || p.grouped != nullptr)
    return false;
  if (std::find(std::begin(kElementFormats), std::end(kElementFormats), p.w->format) == std::end(kElementFormats))
    return false;
  // Single elements are handed out at least once, by the extension's rules: a sum that is stored by itself may be added to y
  // twice.
  if (f.elements != 0 && p.residual.range && same_rows(p.residual, p.y)) return false;
  const gpu::ShaderInfo shader = gpu::shader_info(shader_of(f));
  if (shader.spirv.empty() || !caps.has(shader.required_features)) return false;
  if (f.half_rows != 1 || f.half_sums + f.part_m + f.part_n + f.m + f.n + f.k != 0) return false;
  if (!can_subgroup(caps, f.subgroup) || f.teams == 0 || f.teams > 16 || (f.elements != 0 && f.teams != 1)) return false;
  return f.subgroup * f.teams <= caps.max_workgroup_invocations && fits(caps, f) &&
         f.tile_n * sizeof(float) + caps.matrix_shared_memory <= caps.max_shared_memory && can_convert(p, RowsKind::kHalf);
}

// Offers tensor loads alone: the stand-in is for tests.
void list(const gpu::Caps& caps, const MatmulParams& p, std::vector<MatmulForm>& out) {
  if (!caps.has(gpu::kTensorMatrix)) return;
  for (const gpu::FlexibleMatrix& m : caps.flexible_matrices) {
    if (m.invocations == 0 || m.invocations % caps.subgroup_size != 0) continue;
    const auto add = [&](uint32_t tile_m, uint32_t tile_n, uint32_t depth) {
      if (tile_m * tile_n / m.invocations > kMostSums) return;
      out.push_back({.path = MatmulPath::kCoop2,
                     .subgroup = caps.subgroup_size,
                     .teams = m.invocations / caps.subgroup_size,
                     .tile_m = tile_m,
                     .tile_n = tile_n,
                     .depth = depth,
                     .half_rows = 1});
    };
    const uint32_t bucket = p.step.bucket;
    add(64, bucket <= 16 ? 16 : bucket <= 32 ? 32 : 64, 32);
    if (bucket > 32) add(128, 64, 32);
    if (bucket > 64) add(128, 128, 32), add(128, 256, 32);
    if (out.empty()) continue;
    MatmulForm deeper = out.back();
    deeper.depth = 64;
    out.push_back(deeper);
  }
}

Status record_plain(gpu::Recorder& recorder, const MatmulParams& p, const quant::Layout& shape, const MatmulForm& f) {
  LAHAR_ASSIGN(const ConvertedX x, converted_x(recorder, p, RowsKind::kHalf));
  const params::MatmulPush push = matmul_push(p, shape, x);
  record_matmul(recorder, p, shape, describe(p.w->format, matmul_flags(p), f), gpu::push_bytes(push),
                tile_groups(recorder.device().caps(), p, f), x.range);
  return {};
}

Status record(gpu::Recorder& recorder, const MatmulParams& p, const quant::Layout& shape, const MatmulForm& f) {
  return record_unfused(recorder, p, shape, f, record_plain);
}

}  // namespace

const MatmulPathOps detail::kCoop2Ops{can, list, record};

void detail::list_coop2_kernels(const gpu::Caps& caps, std::vector<gpu::KernelDesc>& out) {
  MatmulParams p;
  std::vector<MatmulForm> forms;
  for (const uint32_t bucket : {16u, 512u}) {
    p.step.bucket = bucket;
    list(caps, p, forms);
  }
  for (const MatmulForm& f : forms)
    if (fits(caps, f))
      for (const WeightFormat format : kElementFormats) out.push_back(describe(format, 0, f));
}

}  // namespace lahar::ops
