#include "ops/delta_net.h"

#include "ops/catalogue.h"
#include "ops/recurrence_form.h"
#include "ops/state_helpers.h"
#include "params_linear_attention.h"

namespace lahar::ops {
namespace {

using namespace detail;

constexpr uint32_t kStaged = 2;  // q and k

uint32_t qkv_width(const DeltaNetParams& p) { return 2 * p.key_heads * p.key_dim + p.value_heads * p.value_dim; }

Status check(const DeltaNetParams& p, const gpu::Caps& caps) {
  const uint32_t rows = p.step.bucket;
  LAHAR_TRY(check_recurrence(p.label, p.value_heads, p.key_dim, p.value_dim));
  if (p.key_heads == 0 || p.value_heads % p.key_heads != 0)
    return invalid(p.label, std::to_string(p.value_heads) + " value heads of " + std::to_string(p.key_heads) + " key heads");
  LAHAR_TRY(check_step(p.label, p.step, caps.max_workgroup_count[0]));
  LAHAR_TRY(check_rows(p.label, "qkv", p.qkv, rows, qkv_width(p)));
  LAHAR_TRY(check_rows(p.label, "y", p.y, rows, p.value_heads * p.value_dim));
  for (const Activations* gate : {&p.beta, &p.alpha})
    if (!gate->range || gate->range.size < row_bytes(*gate, rows, p.value_heads))
      return invalid(p.label, "beta or alpha is missing or too small");
  LAHAR_TRY(check_vector(p.label, "decay", p.decay, p.value_heads));
  LAHAR_TRY(check_vector(p.label, "bias", p.bias, p.value_heads));
  return check_state(p.label, p.state, p.state_offset, delta_net_state_bytes(p.value_heads, p.key_dim, p.value_dim));
}

gpu::KernelDesc describe_norm(const gpu::Caps& caps, uint32_t dim) {
  const uint32_t subgroups = subgroups_for(caps, ceil_div(dim, 4));
  return {.shader = gpu::ShaderId::gated_norm,
          .constants = {subgroups * caps.subgroup_size, 1, 1},
          .subgroup_size = caps.subgroup_size};
}

}  // namespace

uint64_t delta_net_state_bytes(uint32_t value_heads, uint32_t key_dim, uint32_t value_dim) {
  return uint64_t{value_heads} * key_dim * value_dim * sizeof(float);
}

Status delta_net(gpu::Recorder& recorder, const DeltaNetParams& p) {
  const gpu::Caps& caps = recorder.device().caps();
  LAHAR_TRY(check(p, caps));
  const uint32_t rows = p.step.bucket;
  const RecurrenceForm form = recurrence_form(caps, p.key_dim, p.value_dim, kStaged);
  const params::DeltaNetPush push{.qkv = p.qkv.range.address(),
                                  .beta = p.beta.range.address(),
                                  .alpha = p.alpha.range.address(),
                                  .y = p.y.range.address(),
                                  .decay = p.decay.address(),
                                  .bias = p.bias.address(),
                                  .step = p.step.state.address(),
                                  .state = state_address(p.state, p.state_offset),
                                  .key_heads = p.key_heads,
                                  .value_dim = p.value_dim,
                                  .tiled = p.tiled ? 1u : 0u,
                                  .qkv_stride = p.qkv.stride,
                                  .beta_stride = p.beta.stride,
                                  .alpha_stride = p.alpha.stride,
                                  .y_stride = p.y.stride};
  recorder.dispatch(
      {.label = p.label,
       .kernel = recorder.device().kernels().get(describe_recurrence(caps, gpu::ShaderId::delta_net, form, p.key_dim)),
       .push = gpu::push_bytes(push),
       .groups = {form.workgroups(p.value_dim), p.value_heads, std::min(rows, params::kMaxRuns)},
       .reads = Ranges{rows_of(p.qkv, rows, qkv_width(p)), rows_of(p.beta, rows, p.value_heads),
                       rows_of(p.alpha, rows, p.value_heads), p.decay, p.bias, p.state.range, p.step.state},
       .writes = Ranges{rows_of(p.y, rows, p.value_heads * p.value_dim), p.state.range}});
  return {};
}

Status gated_norm(gpu::Recorder& recorder, const GatedNormParams& p) {
  const gpu::Caps& caps = recorder.device().caps();
  const uint32_t rows = p.step.bucket, width = p.heads * p.dim;
  if (p.dim == 0 || p.dim % 4 != 0 || p.heads == 0)
    return invalid(p.label, "a norm over " + std::to_string(p.dim) + " values");
  LAHAR_TRY(check_step(p.label, p.step, caps.max_workgroup_count[1]));
  LAHAR_TRY(check_rows(p.label, "x", p.x, rows, width));
  LAHAR_TRY(check_rows(p.label, "the gate", p.gate, rows, width));
  LAHAR_TRY(check_rows(p.label, "y", p.y, rows, width));
  LAHAR_TRY(check_vector(p.label, "weight", p.weight, p.dim));
  const params::GatedNormPush push{.x = p.x.range.address(),
                                   .gate = p.gate.range.address(),
                                   .y = p.y.range.address(),
                                   .weight = p.weight.address(),
                                   .step = p.step.state.address(),
                                   .heads = p.heads,
                                   .dim = p.dim,
                                   .x_stride = p.x.stride,
                                   .gate_stride = p.gate.stride,
                                   .y_stride = p.y.stride,
                                   .eps = p.eps};
  recorder.dispatch({.label = p.label,
                     .kernel = recorder.device().kernels().get(describe_norm(caps, p.dim)),
                     .push = gpu::push_bytes(push),
                     .groups = {head_groups(caps, p.heads, rows), rows, 1},
                     .reads = Ranges{rows_of(p.x, rows, width), rows_of(p.gate, rows, width), p.weight, p.step.state},
                     .writes = Ranges{rows_of(p.y, rows, width)}});
  return {};
}

void list_delta_net_kernels(const gpu::Caps& caps, std::vector<gpu::KernelDesc>& out) {
  for (const uint32_t dim : {64u, 128u, 256u})
    out.push_back(describe_recurrence(caps, gpu::ShaderId::delta_net, recurrence_form(caps, dim, dim, kStaged), dim));
  for (const uint32_t dim : {64u, 128u}) out.push_back(describe_norm(caps, dim));
}

}  // namespace lahar::ops
