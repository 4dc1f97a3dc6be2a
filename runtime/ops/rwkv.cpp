#include "ops/rwkv.h"

#include "ops/catalogue.h"
#include "ops/state_helpers.h"
#include "params_linear_attention.h"

namespace lahar::ops {
namespace {

using namespace detail;

gpu::KernelDesc describe_shift(const gpu::Caps& caps, uint32_t width, uint32_t mixes) {
  const uint32_t lanes = subgroups_for(caps, ceil_div(width, 4)) * caps.subgroup_size;
  return {.shader = gpu::ShaderId::token_shift, .constants = {lanes, 1, 1, {mixes}}, .subgroup_size = caps.subgroup_size};
}

gpu::KernelDesc describe_wkv4(const gpu::Caps& caps) {
  // Few channels a workgroup: each walks through the run by itself, so that all of the device is wanted.
  return {.shader = gpu::ShaderId::wkv4, .constants = {caps.subgroup_size, 1, 1}, .subgroup_size = caps.subgroup_size};
}

Status check(const TokenShiftParams& p, const gpu::Caps& caps) {
  const uint32_t rows = p.step.bucket, mixes = static_cast<uint32_t>(p.mixes.size());
  if (p.width == 0 || p.width % 4 != 0) return invalid(p.label, "a width of " + std::to_string(p.width));
  if (mixes == 0 || mixes > params::kMaxShiftMixes) return invalid(p.label, std::to_string(mixes) + " mixes");
  LAHAR_TRY(check_step(p.label, p.step, caps.max_workgroup_count[1]));
  LAHAR_TRY(check_rows(p.label, "x", p.x, rows, p.width));
  for (uint32_t m = 0; m < mixes; ++m) {
    LAHAR_TRY(check_rows(p.label, "y", p.y[m], rows, p.width));
    LAHAR_TRY(check_vector(p.label, "a mix", p.mixes[m], p.width));
    if (overlaps(rows_of(p.y[m], rows, p.width), rows_of(p.x, rows, p.width)))
      return invalid(p.label, "y overlaps x, which the next row still reads");
  }
  return check_state(p.label, p.state, p.state_offset, token_shift_state_bytes(p.width));
}

}  // namespace

uint64_t token_shift_state_bytes(uint32_t width) { return uint64_t{width} * sizeof(float); }

Status token_shift(gpu::Recorder& recorder, const TokenShiftParams& p) {
  const gpu::Caps& caps = recorder.device().caps();
  LAHAR_TRY(check(p, caps));
  const uint32_t rows = p.step.bucket;
  params::TokenShiftPush push{.x = p.x.range.address(),
                              .y = p.y.range.address(),
                              .step = p.step.state.address(),
                              .state = state_address(p.state, p.state_offset),
                              .mixes = {},
                              .width = p.width,
                              .x_stride = p.x.stride,
                              .y_stride = p.y.stride,
                              .plane_floats = p.y.plane_floats};
  Ranges reads{rows_of(p.x, rows, p.width), p.state.range, p.step.state}, writes{p.state.range};
  for (uint32_t m = 0; m < p.mixes.size(); ++m) {
    push.mixes[m] = p.mixes[m].address();
    reads.add(p.mixes[m]);
    writes.add(rows_of(p.y[m], rows, p.width));
  }
  const gpu::KernelDesc desc = describe_shift(caps, p.width, static_cast<uint32_t>(p.mixes.size()));
  recorder.dispatch({.label = p.label,
                     .kernel = recorder.device().kernels().get(desc),
                     .push = gpu::push_bytes(push),
                     .groups = {row_groups(caps, desc, p.width, rows), rows, 1},
                     .reads = reads,
                     .writes = writes});
  return {};
}

uint64_t wkv4_state_bytes(uint32_t width) { return uint64_t{ceil_div(3 * width, 4)} * 4 * sizeof(float); }

Status wkv4(gpu::Recorder& recorder, const Wkv4Params& p) {
  const gpu::Caps& caps = recorder.device().caps();
  const uint32_t rows = p.step.bucket;
  if (p.width == 0 || p.width > (1u << 26)) return invalid(p.label, "a width of " + std::to_string(p.width));
  LAHAR_TRY(check_step(p.label, p.step, caps.max_workgroup_count[0]));
  for (const auto& [name, a] : {std::pair{"k", &p.k}, {"v", &p.v}, {"r", &p.r}, {"y", &p.y}})
    LAHAR_TRY(check_rows(p.label, name, *a, rows, p.width));
  if (p.v.stride != p.k.stride || p.r.stride != p.k.stride) return invalid(p.label, "k, v and r differ in their strides");
  LAHAR_TRY(check_vector(p.label, "decay", p.decay, p.width));
  LAHAR_TRY(check_vector(p.label, "first", p.first, p.width));
  LAHAR_TRY(check_state(p.label, p.state, p.state_offset, wkv4_state_bytes(p.width)));
  const params::Wkv4Push push{.k = p.k.range.address(),
                              .v = p.v.range.address(),
                              .r = p.r.range.address(),
                              .y = p.y.range.address(),
                              .decay = p.decay.address(),
                              .first = p.first.address(),
                              .step = p.step.state.address(),
                              .state = state_address(p.state, p.state_offset),
                              .width = p.width,
                              .stride = p.k.stride,
                              .y_stride = p.y.stride,
                              .reserved = 0};
  recorder.dispatch({.label = p.label,
                     .kernel = recorder.device().kernels().get(describe_wkv4(caps)),
                     .push = gpu::push_bytes(push),
                     .groups = {ceil_div(p.width, caps.subgroup_size), std::min(rows, params::kMaxRuns), 1},
                     .reads = Ranges{rows_of(p.k, rows, p.width), rows_of(p.v, rows, p.width), rows_of(p.r, rows, p.width),
                                     p.decay, p.first, p.state.range, p.step.state},
                     .writes = Ranges{rows_of(p.y, rows, p.width), p.state.range}});
  return {};
}

void list_rwkv_kernels(const gpu::Caps& caps, std::vector<gpu::KernelDesc>& out) {
  for (const uint32_t mixes : {1u, 2u, 3u, 6u}) out.push_back(describe_shift(caps, 2048, mixes));
  out.push_back(describe_wkv4(caps));
}

}  // namespace lahar::ops
