#include "ops/norm.h"

#include "ops/catalogue.h"
#include "ops/op_helpers.h"
#include "params_norm.h"

namespace lahar::ops {
namespace {

using namespace detail;

gpu::KernelDesc describe(const gpu::Caps& caps, NormKind kind, uint32_t width, uint32_t flags) {
  const uint32_t subgroups = subgroups_for(caps, ceil_div(width, 4));
  return {.shader = gpu::ShaderId::norm,
          .constants = {subgroups * caps.subgroup_size, 1, 1, {subgroups, static_cast<uint32_t>(kind), flags}},
          .subgroup_size = caps.subgroup_size};
}

Status check(const NormParams& p, const gpu::Caps& caps) {
  const uint32_t rows = p.step.bucket;
  if (p.width == 0) return invalid(p.label, "a norm of no width");
  LAHAR_TRY(check_step(p.label, p.step, caps.max_workgroup_count[0]));
  LAHAR_TRY(check_rows(p.label, "x", p.x, p.logit_rows ? 1 : rows, p.width));
  LAHAR_TRY(check_rows(p.label, "y", p.y, rows, p.width));
  if (p.weight) LAHAR_TRY(check_vector(p.label, "weight", p.weight, p.width));
  if (p.bias) LAHAR_TRY(check_vector(p.label, "bias", p.bias, p.width));
  if (p.residual.range) LAHAR_TRY(check_rows(p.label, "residual", p.residual, rows, p.width));
  const bool x_in_place = !p.logit_rows && same_rows(p.x, p.y);
  if (!x_in_place && overlaps(p.logit_rows ? p.x.range : rows_of(p.x, rows, p.width), rows_of(p.y, rows, p.width)))
    return invalid(p.label, "y overlaps x in other rows");
  if (p.residual.range && !same_rows(p.residual, p.y) &&
      overlaps(rows_of(p.residual, rows, p.width), rows_of(p.y, rows, p.width)))
    return invalid(p.label, "y overlaps the residual in other rows");
  return {};
}

}  // namespace

Status norm(gpu::Recorder& recorder, const NormParams& p) {
  const gpu::Caps& caps = recorder.device().caps();
  LAHAR_TRY(check(p, caps));
  const uint32_t rows = p.step.bucket;
  const uint32_t flags = (p.weight ? params::kNormWeight : 0) | (p.bias ? params::kNormBias : 0) |
                         (p.residual.range ? params::kNormResidual : 0) | (p.logit_rows ? params::kNormGather : 0);
  const params::NormPush push{.x = p.x.range.address(),
                              .y = p.y.range.address(),
                              .residual = p.residual.range.address(),
                              .weight = p.weight.address(),
                              .bias = p.bias.address(),
                              .step = p.step.state.address(),
                              .width = p.width,
                              .x_stride = p.x.stride,
                              .y_stride = p.y.stride,
                              .residual_stride = p.residual.stride,
                              .eps = p.eps,
                              .residual_scale = p.residual_scale,
                              .residual_factor = p.residual_factor,
                              .reserved = 0};
  const Ranges reads{p.logit_rows ? p.x.range : rows_of(p.x, rows, p.width),
                     p.residual.range ? rows_of(p.residual, rows, p.width) : gpu::BufferRange{}, p.weight, p.bias,
                     p.step.state};
  const Ranges writes{rows_of(p.y, rows, p.width)};
  recorder.dispatch({.label = p.label,
                     .kernel = recorder.device().kernels().get(describe(caps, p.kind, p.width, flags)),
                     .push = gpu::push_bytes(push),
                     .groups = {rows, 1, 1},
                     .reads = reads,
                     .writes = writes});
  return {};
}

void list_norm_kernels(const gpu::Caps& caps, std::vector<gpu::KernelDesc>& out) {
  using namespace params;
  for (const uint32_t width : {64u, 576u, 1024u, 4096u}) {
    for (const uint32_t flags : {kNormWeight, kNormWeight | kNormResidual, kNormWeight | kNormGather})
      out.push_back(describe(caps, NormKind::kRms, width, flags));
    for (const uint32_t flags : {kNormWeight | kNormBias, kNormWeight | kNormBias | kNormGather})
      out.push_back(describe(caps, NormKind::kLayer, width, flags));
  }
}

}  // namespace lahar::ops
