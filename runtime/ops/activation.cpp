#include "ops/activation.h"

#include "ops/catalogue.h"
#include "ops/op_helpers.h"
#include "params_activation.h"

namespace lahar::ops {
namespace {

using namespace detail;

gpu::KernelDesc describe(const gpu::Caps& caps, Activation kind, bool gated, uint32_t width) {
  const uint32_t lanes = subgroups_for(caps, ceil_div(width, 4)) * caps.subgroup_size;
  return {.shader = gpu::ShaderId::activation,
          .constants = {lanes, 1, 1, {static_cast<uint32_t>(kind), gated ? 1u : 0u, width % 4 == 0 ? 1u : 0u}},
          .subgroup_size = caps.subgroup_size};
}

}  // namespace

Status activation(gpu::Recorder& recorder, const ActivationParams& p) {
  const gpu::Caps& caps = recorder.device().caps();
  const uint32_t rows = p.step.bucket;
  const uint64_t x_width = uint64_t{p.width} * (p.gated ? 2 : 1);
  if (p.width == 0 || x_width > (1u << 28)) return invalid(p.label, "a width of " + std::to_string(p.width));
  LAHAR_TRY(check_step(p.label, p.step, caps.max_workgroup_count[1]));
  LAHAR_TRY(check_rows(p.label, "x", p.x, rows, static_cast<uint32_t>(x_width)));
  LAHAR_TRY(check_rows(p.label, "y", p.y, rows, p.width));
  const gpu::BufferRange x = rows_of(p.x, rows, static_cast<uint32_t>(x_width));
  const gpu::BufferRange y = rows_of(p.y, rows, p.width);
  if (!same_rows(p.x, p.y) && overlaps(x, y)) return invalid(p.label, "y overlaps x in other rows");

  const gpu::KernelDesc desc = describe(caps, p.kind, p.gated, p.width);
  // On a CPU a few groups that loop are enough: each costs more than the 32 bytes that it would compute.
  const uint32_t whole_row = ceil_div(ceil_div(p.width, 4), desc.constants.values()[0]);
  const uint32_t groups = caps.is_cpu() ? std::min(whole_row, ceil_div(8, rows)) : whole_row;
  const params::ActivationPush push{.x = p.x.range.address(),
                                    .y = p.y.range.address(),
                                    .step = p.step.state.address(),
                                    .width = p.width,
                                    .x_stride = p.x.stride,
                                    .y_stride = p.y.stride,
                                    .reserved = 0};
  recorder.dispatch({.label = p.label,
                     .kernel = recorder.device().kernels().get(desc),
                     .push = gpu::push_bytes(push),
                     .groups = {std::min(groups, caps.max_workgroup_count[0]), rows, 1},
                     .reads = Ranges{x, p.step.state},
                     .writes = Ranges{y}});
  return {};
}

void list_activation_kernels(const gpu::Caps& caps, std::vector<gpu::KernelDesc>& out) {
  for (uint32_t kind = 1; kind <= static_cast<uint32_t>(Activation::kTanh); ++kind)
    for (const bool gated : {false, true}) out.push_back(describe(caps, static_cast<Activation>(kind), gated, 4096));
}

}  // namespace lahar::ops
