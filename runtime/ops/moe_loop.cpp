#include "ops/loop_helpers.h"
#include "ops/matmul_paths.h"
#include "ops/moe_paths.h"

namespace lahar::ops {
namespace {

using namespace detail;
using gpu::ShaderId;
using quant::WeightFormat;

// The first formats have a kernel, up to this one.
constexpr auto kLastFormat = static_cast<uint16_t>(WeightFormat::kI8);
static_assert(static_cast<uint16_t>(ShaderId::moe_loop_i8) == static_cast<uint16_t>(ShaderId::moe_loop_f32) + kLastFormat);

gpu::KernelDesc describe(const gpu::Caps& caps, const ExpertMatrix& m, uint32_t flags, Activation activation,
                         uint32_t rows) {
  const uint32_t lanes = caps.subgroup_size, group = m.group == 0 ? (m.cols + 15) / 16 * 16 : m.group;
  return {.shader = for_format(ShaderId::moe_loop_f32, m.format),
          .constants = {lanes, 1, 1, {lanes, rows, m.cols, flags, static_cast<uint32_t>(activation), group}},
          .subgroup_size = lanes};
}

bool can_run(const gpu::Caps& caps, WeightFormat format, uint32_t rows) {
  return static_cast<uint16_t>(format) <= kLastFormat && rows > 0 && rows <= 16 &&
         can_loop_over(caps, for_format(ShaderId::moe_loop_f32, format));
}

bool can(const gpu::Caps& caps, const MoeParams& p, const MoeForm& form) {
  return p.step.bucket <= kMoeDecodeRows && !moe_mixed(*p.experts) &&
         can_run(caps, p.experts->gate_up.format, form.up.rows) && can_run(caps, p.experts->down.format, form.down.rows) &&
         (!p.experts->gated || form.up.rows % 2 == 0);
}

// Measured on lavapipe, as matmul's loop.
void list(const gpu::Caps&, const MoeParams& p, std::vector<MoeForm>& out) {
  const auto add = [&](uint32_t up, uint32_t down) { out.push_back({MoePath::kLoop, {.rows = up}, {.rows = down}}); };
  if (detail::quants_are_bytes(p.experts->gate_up.format)) add(2, 2), add(4, 4), add(8, 8);
  else add(4, 8), add(8, 8), add(4, 4);
}

void record_one(gpu::Recorder& recorder, const MoeParams& p, bool down, uint32_t rows) {
  const gpu::Caps& caps = recorder.device().caps();
  const ExpertMatrix& m = down ? p.experts->down : p.experts->gate_up;
  auto push = moe_push<params::MoeLoopPush>(p, m, down);
  push.blocks = m.cols / block_columns(m.format, caps.subgroup_size);
  const uint32_t items = down ? p.step.bucket : moe_pairs(p);
  const uint32_t turns = ceil_div(push.rows, rows / (!down && p.experts->gated ? 2 : 1));
  push.turns = ceil_div(turns, ceil_div(cpu_threads(), items));
  const gpu::GroupCount groups = spread_groups(ceil_div(turns, push.turns), caps);
  record_moe(recorder, p, down,
             describe(caps, m, down ? moe_down_flags(p) : moe_up_flags(p), down ? Activation::kNone : p.activation, rows),
             gpu::push_bytes(push), {items, groups.x, groups.y});
}

Status record(gpu::Recorder& recorder, const MoeParams& p, const MoeForm& form) {
  record_one(recorder, p, false, form.up.rows);
  record_one(recorder, p, true, form.down.rows);
  return {};
}

}  // namespace

const MoePathOps detail::kMoeLoopOps{can, list, record};

void detail::list_moe_loop_kernels(const gpu::Caps& caps, std::vector<gpu::KernelDesc>& out) {
  using namespace params;
  for (uint16_t i = 0; i <= kLastFormat; ++i) {
    const ExpertMatrix m{.format = static_cast<WeightFormat>(i), .rows = 512, .cols = 512};
    if (!can_run(caps, m.format, 8)) continue;
    out.push_back(describe(caps, m, kMoeGated, Activation::kSilu, 8));
    out.push_back(describe(caps, m, kMoeDown | kMoeResidual, Activation::kNone, 8));
  }
}

}  // namespace lahar::ops
