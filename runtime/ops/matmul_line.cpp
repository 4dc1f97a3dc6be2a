#include <algorithm>

#include "ops/matmul_push.h"
#include "ops/matmul_variants.h"

namespace lahar::ops {
namespace {

using namespace detail;
using gpu::ShaderId;
using quant::WeightFormat;

// The first formats have a kernel, up to this one.
constexpr auto kLastFormat = static_cast<uint16_t>(WeightFormat::kI8);
static_assert(static_cast<uint16_t>(ShaderId::line_i8) == static_cast<uint16_t>(ShaderId::line_f32) + kLastFormat);

// Products that one subgroup computes in straight-line code: what a driver compiles in half a second.
constexpr uint32_t kMostProducts = 2000;

// Columns at which a row may be cut.
uint32_t cut_columns(WeightFormat format, uint32_t cols, uint32_t group, uint32_t lanes) {
  const uint32_t block = quant::traits(format).block_values;
  if (block > 1) return block;
  const bool one_scale = !quant::traits(format).grouped || group == 0 || group >= cols;
  return one_scale ? lanes : std::max(lanes, group);
}

gpu::KernelDesc describe(const gpu::Caps& caps, WeightFormat format, uint32_t cols, uint32_t group, uint32_t flags,
                         Activation glu, const LineShape& s) {
  const uint32_t lanes = caps.subgroup_size;
  return {.shader = for_format(ShaderId::line_f32, format),
          .constants = {lanes * s.chunks,
                        1,
                        1,
                        {lanes, s.rows, s.x_rows, cols, s.chunks, flags, static_cast<uint32_t>(glu),
                         group == 0 ? (cols + 15) / 16 * 16 : group}},
          .subgroup_size = lanes};
}

LineShape shape_for(const gpu::Caps& caps, WeightFormat format, uint32_t cols, uint32_t group, uint32_t bucket, bool gated) {
  if (static_cast<uint16_t>(format) > kLastFormat) return {};
  const uint32_t lanes = caps.subgroup_size;
  const gpu::ShaderInfo shader = gpu::shader_info(for_format(ShaderId::line_f32, format));
  if (!caps.is_cpu() || (lanes != 4 && lanes != 8 && lanes != 16) || !caps.has(shader.required_features)) return {};
  LineShape s;
  s.x_rows = std::min(bucket, 4u);
  s.rows = bucket == 1 ? 8 : bucket == 2 ? 8 : 6;
  if (gated) s.rows = s.rows / 2 * 2;
  const uint32_t cut = cut_columns(format, cols, group, lanes);
  const uint32_t most = caps.max_workgroup_invocations / lanes;
  for (s.chunks = 1; s.chunks <= most; ++s.chunks) {
    if (s.chunks > 1 && (cols % s.chunks != 0 || cols / s.chunks % cut != 0)) continue;
    if (ceil_div(cols / s.chunks, lanes) * s.rows * s.x_rows <= kMostProducts) return s;
  }
  return {};
}

}  // namespace

LineShape line_shape(const gpu::Caps& caps, const MatmulParams& p) {
  return shape_for(caps, p.w->format, p.w->cols, p.w->group, p.step.bucket, p.glu != Activation::kNone);
}

Status matmul_line(gpu::Recorder& recorder, const MatmulParams& p, const LineShape& s) {
  const gpu::Caps& caps = recorder.device().caps();
  quant::Layout shape;
  LAHAR_TRY(check_matmul(p, shape));
  params::LinePush push{};
  push.w0 = p.w->planes[0].address(), push.w1 = p.w->planes[1].address(), push.w2 = p.w->planes[2].address();
  push.x = p.x.range.address(), push.y = p.y.range.address();
  push.bias = p.bias.address(), push.residual = p.residual.range.address(), push.step = p.step.state.address();
  push.rows = matmul_y_rows(p), push.bucket = p.step.bucket, push.x_rows = matmul_x_rows(p);
  push.x_stride = p.x.stride, push.y_stride = p.y.stride, push.residual_stride = p.residual.stride;
  push.scale = p.scale, push.softcap = p.softcap, push.residual_scale = p.residual_scale;
  for (uint32_t i = 0; i < 4; ++i) push.ramp[i] = i;
  const gpu::GroupCount rows = spread_groups(ceil_div(push.rows, p.glu == Activation::kNone ? s.rows : s.rows / 2), caps);
  record_matmul(recorder, p, shape, describe(caps, p.w->format, p.w->cols, p.w->group, matmul_flags(p), p.glu, s),
                gpu::push_bytes(push), {ceil_div(p.step.bucket, s.x_rows), rows.x, rows.y});
  return {};
}

void detail::list_line_kernels(const gpu::Caps& caps, std::vector<gpu::KernelDesc>& out) {
  for (uint16_t f = 0; f <= kLastFormat; ++f)
    for (const uint32_t bucket : {1u, 64u}) {
      const auto format = static_cast<WeightFormat>(f);
      const LineShape s = shape_for(caps, format, 512, 0, bucket, false);
      if (s.rows > 0) out.push_back(describe(caps, format, 512, 0, 0, Activation::kNone, s));
    }
}

}  // namespace lahar::ops
