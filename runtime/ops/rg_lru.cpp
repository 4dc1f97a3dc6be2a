#include "ops/rg_lru.h"

#include "ops/catalogue.h"
#include "ops/state_helpers.h"
#include "params_linear_attention.h"

namespace lahar::ops {
namespace {

using namespace detail;

// In steps of so many rows runs are worth splitting: each row of a part is computed twice.
constexpr uint32_t kSplitRows = 32;

gpu::KernelDesc describe(const gpu::Caps& caps, uint32_t rows, Activation activation) {
  // A subgroup for each part of a run.
  const uint32_t parts = rows < kSplitRows ? 1 : subgroups_for(caps, 256);
  return {.shader = gpu::ShaderId::rg_lru,
          .constants = {parts * caps.subgroup_size, 1, 1, {parts, static_cast<uint32_t>(activation)}},
          .subgroup_size = caps.subgroup_size};
}

Status check(const RgLruParams& p, const gpu::Caps& caps) {
  const uint32_t rows = p.step.bucket;
  if (p.width == 0 || p.width > (1u << 26)) return invalid(p.label, "a width of " + std::to_string(p.width));
  LAHAR_TRY(check_step(p.label, p.step, caps.max_workgroup_count[0]));
  for (const auto& [name, a] : {std::pair{"x", &p.x},
                                {"y's gate", &p.y_gate},
                                {"the input gate", &p.input_gate},
                                {"the recurrent gate", &p.recurrent_gate},
                                {"y", &p.y}})
    LAHAR_TRY(check_rows(p.label, name, *a, rows, p.width));
  if (p.input_gate.stride != p.recurrent_gate.stride) return invalid(p.label, "the gates differ in their strides");
  for (const auto& [name, v] : {std::pair{"the input gate's bias", &p.input_bias},
                                {"the recurrent gate's bias", &p.recurrent_bias},
                                {"decay", &p.decay}})
    LAHAR_TRY(check_vector(p.label, name, *v, p.width));
  return check_state(p.label, p.state, p.state_offset, rg_lru_state_bytes(p.width));
}

}  // namespace

uint64_t rg_lru_state_bytes(uint32_t width) { return uint64_t{ceil_div(width, 4)} * 4 * sizeof(float); }

Status rg_lru(gpu::Recorder& recorder, const RgLruParams& p) {
  const gpu::Caps& caps = recorder.device().caps();
  LAHAR_TRY(check(p, caps));
  const uint32_t rows = p.step.bucket;
  const params::RgLruPush push{.x = p.x.range.address(),
                               .y_gate = p.y_gate.range.address(),
                               .y = p.y.range.address(),
                               .input_gate = p.input_gate.range.address(),
                               .recurrent_gate = p.recurrent_gate.range.address(),
                               .input_bias = p.input_bias.address(),
                               .recurrent_bias = p.recurrent_bias.address(),
                               .decay = p.decay.address(),
                               .step = p.step.state.address(),
                               .state = state_address(p.state, p.state_offset),
                               .width = p.width,
                               .x_stride = p.x.stride,
                               .gate_stride = p.input_gate.stride,
                               .y_gate_stride = p.y_gate.stride,
                               .y_stride = p.y.stride,
                               .reserved = 0};
  recorder.dispatch({.label = p.label,
                     .kernel = recorder.device().kernels().get(describe(caps, rows, p.activation)),
                     .push = gpu::push_bytes(push),
                     .groups = {ceil_div(p.width, caps.subgroup_size), std::min(rows, p.step.max_runs), 1},
                     .reads = Ranges{rows_of(p.x, rows, p.width), rows_of(p.y_gate, rows, p.width),
                                     rows_of(p.input_gate, rows, p.width), rows_of(p.recurrent_gate, rows, p.width),
                                     p.input_bias, p.recurrent_bias, p.decay, p.state.range, p.step.state},
                     .writes = Ranges{rows_of(p.y, rows, p.width), p.state.range}});
  return {};
}

void list_rg_lru_kernels(const gpu::Caps& caps, std::vector<gpu::KernelDesc>& out) {
  for (const uint32_t rows : {1u, 512u}) out.push_back(describe(caps, rows, Activation::kGeluTanh));
}

}  // namespace lahar::ops
