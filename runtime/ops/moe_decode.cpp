#include "ops/moe_paths.h"

namespace lahar::ops {
namespace {

using namespace detail;
using gpu::ShaderId;
using quant::WeightFormat;

static_assert(static_cast<uint16_t>(ShaderId::moe_decode_i4) ==
              static_cast<uint16_t>(ShaderId::moe_decode_f32) + kFormats - 1);

MatmulForm default_form(const gpu::Caps& caps, WeightFormat format, uint32_t x_rows) {
  // As matmul's GEMV: registers hold rows * x_rows sums.
  uint32_t subgroup = caps.subgroup_size;
  const bool narrow = x_rows >= 8 || (x_rows >= 2 && unit_columns(format) > 16);
  if (few_registers(caps) && caps.max_subgroup_size >= 32) subgroup = narrow ? caps.min_subgroup_size : 16;
  return {.rows = x_rows == 1 && unit_columns(format) <= 8 ? 4u : 2u,
          .x_rows = x_rows,
          .subgroup = subgroup,
          .teams = std::max(1u, subgroups_for(caps, 128) * caps.subgroup_size / subgroup)};
}

gpu::KernelDesc describe(const ExpertMatrix& m, uint32_t flags, Activation activation, const MatmulForm& f) {
  const uint32_t tail = m.cols % unit_columns(m.format) != 0 ? params::kMatmulTail : 0;
  return {.shader = for_format(ShaderId::moe_decode_f32, m.format),
          .constants = {f.teams * f.subgroup,
                        1,
                        1,
                        {f.rows, f.x_rows, f.teams, flags | tail, static_cast<uint32_t>(activation)}},
          .subgroup_size = f.subgroup};
}

bool fits(const gpu::Caps& caps, const MatmulForm& f) {
  return f.rows >= 1 && f.rows <= 8 && f.rows * f.x_rows <= 64 && can_subgroup(caps, f.subgroup) && f.teams >= 1 &&
         f.teams <= 16 && f.teams * f.subgroup <= caps.max_workgroup_invocations;
}

bool can(const gpu::Caps& caps, const MoeParams& p, const MoeForm& form) {
  return p.step.bucket <= kMoeDecodeRows && !moe_mixed(*p.experts) && fits(caps, form.up) && fits(caps, form.down) &&
         form.up.x_rows >= p.step.bucket && form.up.x_rows <= kMoeDecodeRows && form.down.x_rows == 1 &&
         (!p.experts->gated || form.up.rows % 2 == 0);
}

void list(const gpu::Caps& caps, const MoeParams& p, std::vector<MoeForm>& out) {
  const MoeForm best{MoePath::kDecode, default_form(caps, p.experts->gate_up.format, power_of_two_at_least(p.step.bucket)),
                     default_form(caps, p.experts->down.format, 1)};
  out.push_back(best);
  MoeForm f = best;
  f.up.x_rows = p.step.bucket;
  out.push_back(f);
  for (const uint32_t rows : {4u, 2u}) {
    f = best;
    f.up.rows = f.down.rows = rows;
    out.push_back(f);
  }
}

void record_one(gpu::Recorder& recorder, const MoeParams& p, bool down, const MatmulForm& f) {
  const ExpertMatrix& m = down ? p.experts->down : p.experts->gate_up;
  auto push = moe_push<params::MoePush>(p, m, down);
  const quant::Layout shape = *quant::layout(m.format, m.rows, m.cols, m.group);
  push.row_bytes0 = shape.row_bytes[0], push.row_bytes1 = shape.row_bytes[1], push.row_bytes2 = shape.row_bytes[2];
  push.group = m.group == 0 ? (m.cols + 15) / 16 * 16 : m.group, push.cols = m.cols;
  const uint32_t rows = f.rows / (!down && p.experts->gated ? 2 : 1);
  gpu::GroupCount groups = spread_groups(ceil_div(push.rows, rows * f.teams), recorder.device().caps());
  groups.z = down ? p.step.bucket : moe_pairs(p);
  record_moe(recorder, p, down,
             describe(m, down ? moe_down_flags(p) : moe_up_flags(p), down ? Activation::kNone : p.activation, f),
             gpu::push_bytes(push), groups);
}

Status record(gpu::Recorder& recorder, const MoeParams& p, const MoeForm& form) {
  record_one(recorder, p, false, form.up);
  record_one(recorder, p, true, form.down);
  return {};
}

}  // namespace

const MoePathOps detail::kMoeDecodeOps{can, list, record};

void detail::list_moe_decode_kernels(const gpu::Caps& caps, std::vector<gpu::KernelDesc>& out) {
  using namespace params;
  for (uint16_t i = 0; i < kFormats; ++i) {
    const ExpertMatrix m{.format = static_cast<WeightFormat>(i), .rows = 512, .cols = 512};
    for (const uint32_t x_rows : {1u, 4u, 16u})
      out.push_back(describe(m, kMoeGated, Activation::kSilu, default_form(caps, m.format, x_rows)));
    for (const uint32_t flags : {kMoeDown, kMoeDown | kMoeResidual})
      out.push_back(describe(m, flags, Activation::kNone, default_form(caps, m.format, 1)));
  }
  const ExpertMatrix m{.format = WeightFormat::kMXFP4, .rows = 512, .cols = 512};
  out.push_back(describe(m, kMoeGated | kMoeBias | kMoeClamp, Activation::kSilu, default_form(caps, m.format, 1)));
  out.push_back(describe(m, kMoeDown | kMoeResidual | kMoeBias, Activation::kNone, default_form(caps, m.format, 1)));
}

}  // namespace lahar::ops
