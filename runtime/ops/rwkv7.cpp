#include "ops/catalogue.h"
#include "ops/recurrence_form.h"
#include "ops/rwkv.h"
#include "ops/state_helpers.h"
#include "params_linear_attention.h"

namespace lahar::ops {
namespace {

using namespace detail;

constexpr uint32_t kStaged = 5;  // vectors of a token, see rwkv7.comp

Status check(const Rwkv7Inputs& in, const Activations& y, const gpu::Caps& caps) {
  const uint32_t rows = in.step.bucket, width = in.heads * in.head_dim;
  LAHAR_TRY(check_recurrence(in.label, in.heads, in.head_dim, in.head_dim));
  LAHAR_TRY(check_step(in.label, in.step, caps.max_workgroup_count[1]));
  for (uint32_t i = 0; i < params::kRwkv7Planes; ++i) LAHAR_TRY(check_rows(in.label, "a plane", in.planes[i], rows, width));
  LAHAR_TRY(check_rows(in.label, "v", in.v, rows, width));
  LAHAR_TRY(check_rows(in.label, "y", y, rows, width));
  if (in.v_first.range) {
    LAHAR_TRY(check_rows(in.label, "v_first", in.v_first, rows, width));
    LAHAR_TRY(check_vector(in.label, "v0", in.v0, width));
    if (in.v_first.stride != in.v.stride) return invalid(in.label, "v and v_first differ in their strides");
  }
  for (const auto& [name, vector] : {std::pair{"w0", &in.w0}, {"a0", &in.a0}, {"k_k", &in.k_k}, {"k_a", &in.k_a}})
    LAHAR_TRY(check_vector(in.label, name, *vector, width));
  return {};
}

// Planes of the first layer's value mix and of the gate hold nothing where they are not computed, and are not read then.
Ranges reads_of(const Rwkv7Inputs& in, std::initializer_list<uint32_t> planes) {
  const uint32_t rows = in.step.bucket, width = in.heads * in.head_dim;
  Ranges reads{rows_of(in.v, rows, width), in.a0, in.k_a, in.step.state};
  for (const uint32_t i : planes) reads.add(rows_of(in.planes[i], rows, width));
  if (in.v_first.range) {
    reads.add(rows_of(in.v_first, rows, width));
    reads.add(rows_of(in.planes[params::kRwkv7VMix], rows, width));
    reads.add(in.v0);
  }
  return reads;
}

gpu::KernelDesc describe(const gpu::Caps& caps, uint32_t dim) {
  return describe_recurrence(caps, gpu::ShaderId::rwkv7, recurrence_form(caps, dim, dim, kStaged), dim);
}

gpu::KernelDesc describe_output(const gpu::Caps& caps, uint32_t dim) {
  const uint32_t subgroups = subgroups_for(caps, ceil_div(dim, 4));
  return {.shader = gpu::ShaderId::rwkv7_output,
          .constants = {subgroups * caps.subgroup_size, 1, 1},
          .subgroup_size = caps.subgroup_size};
}

}  // namespace

uint64_t rwkv7_state_bytes(uint32_t heads, uint32_t head_dim) {
  return uint64_t{heads} * head_dim * head_dim * sizeof(float);
}

Status rwkv7(gpu::Recorder& recorder, const Rwkv7Params& p) {
  const gpu::Caps& caps = recorder.device().caps();
  const Rwkv7Inputs& in = p.in;
  LAHAR_TRY(check(in, p.y, caps));
  LAHAR_TRY(check_state(in.label, p.state, p.state_offset, rwkv7_state_bytes(in.heads, in.head_dim)));
  const params::Rwkv7Push push{.planes = in.planes.range.address(),
                               .v = in.v.range.address(),
                               .v_first = in.v_first.range.address(),
                               .y = p.y.range.address(),
                               .w0 = in.w0.address(),
                               .a0 = in.a0.address(),
                               .v0 = in.v0.address(),
                               .k_k = in.k_k.address(),
                               .k_a = in.k_a.address(),
                               .step = in.step.state.address(),
                               .state = state_address(p.state, p.state_offset),
                               .plane_floats = in.planes.plane_floats,
                               .stride = in.planes.stride,
                               .v_stride = in.v.stride,
                               .y_stride = p.y.stride,
                               .mix_values = in.v_first.range ? 1u : 0u,
                               .reserved = 0};
  Ranges reads = reads_of(in, {params::kRwkv7R, params::kRwkv7K, params::kRwkv7W, params::kRwkv7A});
  for (const gpu::BufferRange& r : {in.w0, in.k_k, p.state.range}) reads.add(r);
  const RecurrenceForm form = recurrence_form(caps, in.head_dim, in.head_dim, kStaged);
  recorder.dispatch({.label = in.label,
                     .kernel = recorder.device().kernels().get(describe(caps, in.head_dim)),
                     .push = gpu::push_bytes(push),
                     .groups = {form.workgroups(in.head_dim), in.heads, std::min(in.step.bucket, params::kMaxRuns)},
                     .reads = reads,
                     .writes = Ranges{rows_of(p.y, in.step.bucket, in.heads * in.head_dim), p.state.range}});
  return {};
}

Status rwkv7_output(gpu::Recorder& recorder, const Rwkv7OutputParams& p) {
  const gpu::Caps& caps = recorder.device().caps();
  const Rwkv7Inputs& in = p.in;
  const uint32_t rows = in.step.bucket, width = in.heads * in.head_dim;
  LAHAR_TRY(check(in, p.y, caps));
  for (const auto& [name, vector] : {std::pair{"r_k", &p.r_k}, {"norm", &p.norm}, {"norm's bias", &p.norm_bias}})
    LAHAR_TRY(check_vector(in.label, name, *vector, width));
  const params::Rwkv7OutputPush push{.planes = in.planes.range.address(),
                                     .v = in.v.range.address(),
                                     .v_first = in.v_first.range.address(),
                                     .y = p.y.range.address(),
                                     .a0 = in.a0.address(),
                                     .v0 = in.v0.address(),
                                     .k_a = in.k_a.address(),
                                     .r_k = p.r_k.address(),
                                     .norm = p.norm.address(),
                                     .norm_bias = p.norm_bias.address(),
                                     .step = in.step.state.address(),
                                     .plane_floats = in.planes.plane_floats,
                                     .stride = in.planes.stride,
                                     .v_stride = in.v.stride,
                                     .y_stride = p.y.stride,
                                     .mix_values = in.v_first.range ? 1u : 0u,
                                     .heads = in.heads,
                                     .head_dim = in.head_dim,
                                     .eps = p.eps};
  Ranges reads = reads_of(in, {params::kRwkv7R, params::kRwkv7K, params::kRwkv7A, params::kRwkv7G});
  for (const gpu::BufferRange& r : {p.r_k, p.norm, p.norm_bias, rows_of(p.y, rows, width)}) reads.add(r);
  recorder.dispatch({.label = in.label,
                     .kernel = recorder.device().kernels().get(describe_output(caps, in.head_dim)),
                     .push = gpu::push_bytes(push),
                     .groups = {head_groups(caps, in.heads, rows), rows, 1},
                     .reads = reads,
                     .writes = Ranges{rows_of(p.y, rows, width)}});
  return {};
}

void list_rwkv7_kernels(const gpu::Caps& caps, std::vector<gpu::KernelDesc>& out) {
  for (const uint32_t dim : {64u, 128u}) out.push_back(describe(caps, dim));
  out.push_back(describe_output(caps, 64));
}

}  // namespace lahar::ops
