#include "ops/loop_helpers.h"
#include "ops/matmul_paths.h"

namespace lahar::ops::detail {
namespace {

using gpu::ShaderId;
using quant::WeightFormat;

// The first formats have a kernel, up to this one.
constexpr auto kLastFormat = static_cast<uint16_t>(WeightFormat::kI8);
static_assert(static_cast<uint16_t>(ShaderId::loop_i8) == static_cast<uint16_t>(ShaderId::loop_f32) + kLastFormat);

uint32_t rows_a_turn(const MatmulParams& p, const MatmulForm& f) { return p.glu == Activation::kNone ? f.rows : f.rows / 2; }

gpu::KernelDesc describe(const gpu::Caps& caps, const quant::Matrix& w, uint32_t flags, Activation glu,
                         const MatmulForm& f) {
  const uint32_t lanes = caps.subgroup_size, group = w.group == 0 ? (w.cols + 15) / 16 * 16 : w.group;
  return {.shader = for_format(ShaderId::loop_f32, w.format),
          .constants = {lanes, 1, 1, {lanes, f.rows, f.x_rows, w.cols, flags, static_cast<uint32_t>(glu), group}},
          .subgroup_size = lanes};
}

bool can_run(const gpu::Caps& caps, const quant::Matrix& w) {
  return static_cast<uint16_t>(w.format) <= kLastFormat && can_loop_over(caps, for_format(ShaderId::loop_f32, w.format));
}

bool can_loop(const gpu::Caps& caps, const MatmulParams& p, const MatmulForm& f) {
  return can_run(caps, *p.w) && f.rows > 0 && f.rows <= 16 && f.x_rows > 0 && f.x_rows <= 16 && f.rows * f.x_rows <= 64 &&
         (p.glu == Activation::kNone || f.rows % 2 == 0);
}

// Measured on lavapipe. Registers hold the sums: 24 of them leave room for weights and x where there are 32 registers.
// Formats of much code for each weight do better with fewer rows. A group of x rows costs as much whether it is full or not:
// a few more than eight are one group, which spills a little, and many are groups of even sizes.
void list_loop(const gpu::Caps&, const MatmulParams& p, std::vector<MatmulForm>& out) {
  const auto add = [&](uint32_t rows, uint32_t x_rows) {
    out.push_back({.path = MatmulPath::kLoop, .rows = rows, .x_rows = x_rows});
  };
  const uint32_t bucket = p.step.bucket;
  const bool gated = p.glu != Activation::kNone;
  const bool bytes = quants_are_bytes(p.w->format);
  // Of two short blocks each, four rows take three times as long as two.
  if (bucket == 1 && bytes && p.w->cols == 512) add(2, 1), add(8, 1), add(4, 1);
  else if (bucket == 1) bytes ? (add(4, 1), add(8, 1)) : (add(8, 1), add(4, 1));
  else if (bucket <= 4) add(4, bucket), add(8, bucket);
  else if (bucket <= (gated ? 9u : 11u)) add(gated ? 4 : 3, bucket), add(4, 6), add(4, 4);
  else add(gated ? 4 : 3, ceil_div(bucket, ceil_div(bucket, 8))), add(4, 6), add(4, 4);
}

Status record_loop(gpu::Recorder& recorder, const MatmulParams& p, const quant::Layout& shape, const MatmulForm& f) {
  const gpu::Caps& caps = recorder.device().caps();
  params::LoopPush push{};
  push.w0 = p.w->planes[0].address(), push.w1 = p.w->planes[1].address(), push.w2 = p.w->planes[2].address();
  push.x = p.x.range.address(), push.y = p.y.range.address();
  push.bias = p.bias.address(), push.residual = p.residual.range.address(), push.step = p.step.state.address();
  push.rows = matmul_y_rows(p), push.bucket = p.step.bucket, push.x_rows = matmul_x_rows(p);
  push.x_stride = p.x.stride, push.y_stride = p.y.stride, push.residual_stride = p.residual.stride;
  push.scale = p.scale, push.softcap = p.softcap, push.residual_scale = p.residual_scale;
  push.fold = fold_address(p);
  push.blocks = p.w->cols / block_columns(p.w->format, caps.subgroup_size);
  const uint32_t x_groups = matmul_row_groups(p, f.x_rows), turns = ceil_div(push.rows, rows_a_turn(p, f));
  push.turns = p.grouped != nullptr ? turns : ceil_div(turns, ceil_div(cpu_threads(), x_groups));
  const gpu::GroupCount rows = spread_groups(ceil_div(turns, push.turns), caps);
  if (p.grouped != nullptr) push_expert_rows(*p.grouped, push);
  record_matmul(recorder, p, shape, describe(caps, *p.w, matmul_flags(p), p.glu, f), gpu::push_bytes(push),
                {p.grouped != nullptr ? 0 : x_groups, rows.x, rows.y});
  return {};
}

}  // namespace

const MatmulPathOps kLoopOps{can_loop, list_loop, record_loop};

void list_loop_kernels(const gpu::Caps& caps, std::vector<gpu::KernelDesc>& out) {
  for (uint16_t i = 0; i <= kLastFormat; ++i) {
    const quant::Matrix w{.format = static_cast<WeightFormat>(i), .rows = 512, .cols = 512, .group = 0, .planes = {}};
    if (!can_run(caps, w)) continue;
    for (const uint32_t x_rows : {1u, 6u})
      out.push_back(describe(caps, w, 0, Activation::kNone, {.path = MatmulPath::kLoop, .rows = 4, .x_rows = x_rows}));
  }
}

}  // namespace lahar::ops::detail
