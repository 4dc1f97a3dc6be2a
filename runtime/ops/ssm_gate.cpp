#include "ops/ssm_gate.h"

#include "ops/catalogue.h"
#include "ops/op_helpers.h"
#include "params_ssm.h"

namespace lahar::ops {
namespace {

using namespace detail;

gpu::KernelDesc describe(const gpu::Caps& caps, uint32_t width, uint32_t flags) {
  const uint32_t lanes = subgroups_for(caps, width % 4 == 0 ? width / 4 : width) * caps.subgroup_size;
  return {.shader = gpu::ShaderId::ssm_gate,
          .constants = {lanes, 1, 1, {flags | (width % 4 == 0 ? params::kSsmGateAligned : 0)}},
          .subgroup_size = caps.subgroup_size};
}

uint32_t flags_of(const SsmGateParams& p) {
  uint32_t flags = p.order == GateOrder::kGateAlone ? 0 : params::kSsmGateNorm;
  if (p.gate.range) flags |= p.order == GateOrder::kNormFirst ? params::kSsmGateAfter : params::kSsmGateBefore;
  if (p.weight) flags |= params::kSsmGateWeight | (p.shared_weight ? params::kSsmGateShared : 0);
  return flags;
}

Status check(const SsmGateParams& p, const gpu::Caps& caps) {
  const uint32_t rows = p.step.bucket;
  const uint64_t all = uint64_t{p.groups} * p.width;
  if (all == 0 || all > (1u << 28))
    return invalid(p.label, std::to_string(p.groups) + " groups of " + std::to_string(p.width) + " channels");
  const auto width = static_cast<uint32_t>(all);
  LAHAR_TRY(check_step(p.label, p.step, caps.max_workgroup_count[1]));
  LAHAR_TRY(check_rows(p.label, "x", p.x, rows, width));
  LAHAR_TRY(check_rows(p.label, "y", p.y, rows, width));
  if (p.gate.range) LAHAR_TRY(check_rows(p.label, "the gate", p.gate, rows, width));
  if (p.weight) LAHAR_TRY(check_vector(p.label, "weight", p.weight, p.shared_weight ? p.width : width));
  if (p.order == GateOrder::kGateAlone && !p.gate.range) return invalid(p.label, "there is neither a gate nor a norm");
  if (!same_rows(p.x, p.y) && overlaps(rows_of(p.x, rows, width), rows_of(p.y, rows, width)))
    return invalid(p.label, "y overlaps x in other rows");
  return {};
}

}  // namespace

Status ssm_gate(gpu::Recorder& recorder, const SsmGateParams& p) {
  const gpu::Caps& caps = recorder.device().caps();
  LAHAR_TRY(check(p, caps));
  const uint32_t rows = p.step.bucket, width = p.groups * p.width;
  const params::SsmGatePush push{.x = p.x.range.address(),
                                 .gate = p.gate.range.address(),
                                 .y = p.y.range.address(),
                                 .weight = p.weight.address(),
                                 .step = p.step.state.address(),
                                 .width = p.width,
                                 .x_stride = p.x.stride,
                                 .gate_stride = p.gate.stride,
                                 .y_stride = p.y.stride,
                                 .eps = p.eps,
                                 .gate_scale = p.gate_scale,
                                 .groups = p.groups,
                                 .reserved = 0};
  recorder.dispatch(
      {.label = p.label,
       .kernel = recorder.device().kernels().get(describe(caps, p.width, flags_of(p))),
       .push = gpu::push_bytes(push),
       .groups = {head_groups(caps, p.groups, rows), rows, 1},
       .reads = Ranges{rows_of(p.x, rows, width), p.gate.range ? rows_of(p.gate, rows, width) : gpu::BufferRange{}, p.weight,
                       p.step.state},
       .writes = Ranges{rows_of(p.y, rows, width)}});
  return {};
}

void list_ssm_gate_kernels(const gpu::Caps& caps, std::vector<gpu::KernelDesc>& out) {
  using namespace params;
  for (const uint32_t width : {128u, 4096u}) {
    out.push_back(describe(caps, width, kSsmGateBefore | kSsmGateNorm | kSsmGateWeight));
    out.push_back(describe(caps, width, kSsmGateAfter | kSsmGateNorm | kSsmGateWeight | kSsmGateShared));
    out.push_back(describe(caps, width, kSsmGateBefore));
  }
}

}  // namespace lahar::ops
