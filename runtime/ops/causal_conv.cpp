#include "ops/causal_conv.h"

#include "ops/catalogue.h"
#include "ops/state_helpers.h"
#include "params_causal_conv.h"

namespace lahar::ops {
namespace {

using namespace detail;

constexpr uint32_t kMaxTaps = 8;

gpu::KernelDesc describe(const gpu::Caps& caps, uint32_t channels, uint32_t taps, Activation activation, uint32_t flags) {
  const uint32_t lanes = subgroups_for(caps, ceil_div(channels, 4), 128) * caps.subgroup_size;
  return {.shader = gpu::ShaderId::causal_conv,
          .constants = {lanes, 1, 1, {taps, static_cast<uint32_t>(activation), flags}},
          .subgroup_size = caps.subgroup_size};
}

Status check(const CausalConvParams& p, const gpu::Caps& caps) {
  const uint32_t rows = p.step.bucket;
  if (p.channels == 0 || p.channels > (1u << 26)) return invalid(p.label, std::to_string(p.channels) + " channels");
  if (p.taps < 2 || p.taps > kMaxTaps)
    return invalid(p.label, std::to_string(p.taps) + " taps; 2 to " + std::to_string(kMaxTaps) + " are possible");
  LAHAR_TRY(check_step(p.label, p.step, caps.max_workgroup_count[1]));
  LAHAR_TRY(check_rows(p.label, "x", p.x, rows, p.channels));
  LAHAR_TRY(check_rows(p.label, "y", p.y, rows, p.channels));
  if (p.x_gate.range) LAHAR_TRY(check_rows(p.label, "x's gate", p.x_gate, rows, p.channels));
  if (p.y_gate.range) LAHAR_TRY(check_rows(p.label, "y's gate", p.y_gate, rows, p.channels));
  LAHAR_TRY(check_vector(p.label, "weight", p.weight, uint64_t{p.channels} * p.taps));
  if (p.bias) LAHAR_TRY(check_vector(p.label, "bias", p.bias, p.channels));
  LAHAR_TRY(check_state(p.label, p.state, p.state_offset, causal_conv_state_bytes(p.channels, p.taps)));
  // Rows may be columns of the same memory: only a shared stride tells them apart from a real overlap.
  for (const Activations* other : {&p.x, &p.x_gate})
    if (other->range && same_rows(*other, p.y)) return invalid(p.label, "y must be apart from x");
  return {};
}

}  // namespace

uint64_t causal_conv_state_bytes(uint32_t channels, uint32_t taps) {
  return uint64_t{taps - 1} * ceil_div(channels, 4) * 4 * sizeof(float);
}

Status causal_conv(gpu::Recorder& recorder, const CausalConvParams& p) {
  const gpu::Caps& caps = recorder.device().caps();
  LAHAR_TRY(check(p, caps));
  const uint32_t rows = p.step.bucket;
  const uint32_t flags = (p.bias ? params::kConvBias : 0) | (p.x_gate.range ? params::kConvGateX : 0) |
                         (p.y_gate.range ? params::kConvGateY : 0);
  const gpu::KernelDesc desc = describe(caps, p.channels, p.taps, p.activation, flags);
  // On a CPU a few groups that loop are enough.
  const uint32_t whole_row = ceil_div(ceil_div(p.channels, 4), desc.constants.values()[0]);
  const uint32_t groups = caps.is_cpu() ? std::min(whole_row, ceil_div(8, rows)) : whole_row;
  const params::CausalConvPush push{.x = p.x.range.address(),
                                    .x_gate = p.x_gate.range.address(),
                                    .y = p.y.range.address(),
                                    .y_gate = p.y_gate.range.address(),
                                    .weight = p.weight.address(),
                                    .bias = p.bias.address(),
                                    .step = p.step.state.address(),
                                    .state = state_address(p.state, p.state_offset),
                                    .channels = p.channels,
                                    .x_stride = p.x.stride,
                                    .x_gate_stride = p.x_gate.stride,
                                    .y_stride = p.y.stride,
                                    .y_gate_stride = p.y_gate.stride,
                                    .reserved = 0};
  const auto rows_or_none = [&](const Activations& a) {
    return a.range ? rows_of(a, rows, p.channels) : gpu::BufferRange{};
  };
  recorder.dispatch({.label = p.label,
                     .kernel = recorder.device().kernels().get(desc),
                     .push = gpu::push_bytes(push),
                     .groups = {std::min(groups, caps.max_workgroup_count[0]), rows, 1},
                     .reads = Ranges{rows_or_none(p.x), rows_or_none(p.x_gate), rows_or_none(p.y_gate), p.weight, p.bias,
                                     p.state.range, p.step.state},
                     .writes = Ranges{rows_of(p.y, rows, p.channels), p.state.range}});
  return {};
}

void list_causal_conv_kernels(const gpu::Caps& caps, std::vector<gpu::KernelDesc>& out) {
  using namespace params;
  for (const uint32_t channels : {256u, 4096u}) {
    out.push_back(describe(caps, channels, 4, Activation::kSilu, kConvBias));
    out.push_back(describe(caps, channels, 4, Activation::kSilu, 0));
    out.push_back(describe(caps, channels, 3, Activation::kNone, kConvGateX | kConvGateY));
  }
}

}  // namespace lahar::ops
