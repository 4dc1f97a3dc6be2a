#include "ops/gate.h"

#include "ops/catalogue.h"
#include "ops/op_helpers.h"
#include "params_activation.h"

namespace lahar::ops {
namespace {

using namespace detail;

gpu::KernelDesc describe(const gpu::Caps& caps, bool residual, uint32_t width) {
  const uint32_t lanes = subgroups_for(caps, ceil_div(width, 4)) * caps.subgroup_size;
  return {
      .shader = gpu::ShaderId::gate, .constants = {lanes, 1, 1, {residual ? 1u : 0u}}, .subgroup_size = caps.subgroup_size};
}

Status check(const GateParams& p, const gpu::Caps& caps) {
  const uint32_t rows = p.step.bucket;
  if (p.width == 0 || p.width % 4 != 0) return invalid(p.label, "a width of " + std::to_string(p.width));
  LAHAR_TRY(check_step(p.label, p.step, caps.max_workgroup_count[1]));
  LAHAR_TRY(check_rows(p.label, "a", p.a, rows, p.width));
  LAHAR_TRY(check_rows(p.label, "the gate", p.gate, rows, p.width));
  LAHAR_TRY(check_rows(p.label, "y", p.y, rows, p.width));
  if (p.residual.range) LAHAR_TRY(check_rows(p.label, "residual", p.residual, rows, p.width));
  return {};
}

}  // namespace

Status gate(gpu::Recorder& recorder, const GateParams& p) {
  const gpu::Caps& caps = recorder.device().caps();
  LAHAR_TRY(check(p, caps));
  const uint32_t rows = p.step.bucket;
  const gpu::KernelDesc desc = describe(caps, bool(p.residual.range), p.width);
  const params::GatePush push{.a = p.a.range.address(),
                              .gate = p.gate.range.address(),
                              .residual = p.residual.range.address(),
                              .y = p.y.range.address(),
                              .step = p.step.state.address(),
                              .width = p.width,
                              .a_stride = p.a.stride,
                              .gate_stride = p.gate.stride,
                              .residual_stride = p.residual.stride,
                              .y_stride = p.y.stride,
                              .residual_scale = p.residual_scale};
  const gpu::BufferRange residual = p.residual.range ? rows_of(p.residual, rows, p.width) : gpu::BufferRange{};
  recorder.dispatch({.label = p.label,
                     .kernel = recorder.device().kernels().get(desc),
                     .push = gpu::push_bytes(push),
                     .groups = {row_groups(caps, desc, p.width, rows), rows, 1},
                     .reads = Ranges{rows_of(p.a, rows, p.width), rows_of(p.gate, rows, p.width), residual, p.step.state},
                     .writes = Ranges{rows_of(p.y, rows, p.width)}});
  return {};
}

void list_gate_kernels(const gpu::Caps& caps, std::vector<gpu::KernelDesc>& out) {
  for (const bool residual : {false, true}) out.push_back(describe(caps, residual, 4096));
}

}  // namespace lahar::ops
