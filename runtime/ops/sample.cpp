#include "ops/sample.h"

#include "ops/catalogue.h"
#include "ops/op_helpers.h"
#include "params_sample.h"

namespace lahar::ops {
namespace {

using namespace detail;

// Workgroups that share the scan of one row of logits: a CPU needs one for each core or so.
uint32_t scan_parts(const gpu::Caps& caps, uint32_t vocabulary) {
  const uint32_t share = caps.is_cpu() ? 8192 : 2048;
  return std::clamp(ceil_div(vocabulary, share), 1u, caps.is_cpu() ? 4u : params::kSampleMaxParts);
}

gpu::KernelDesc describe(const gpu::Caps& caps, gpu::ShaderId shader, uint32_t size, uint32_t lanes) {
  const uint32_t subgroups = subgroups_of(caps, size, lanes, lanes);
  return {.shader = shader, .constants = {subgroups * size, 1, 1, {subgroups}}, .subgroup_size = size};
}
gpu::KernelDesc describe_scan(const gpu::Caps& caps) {
  return describe(caps, gpu::ShaderId::sample_scan, caps.subgroup_size, 256);
}
gpu::KernelDesc describe_draw(const gpu::Caps& caps) {
  return describe(caps, gpu::ShaderId::sample_draw, narrow_subgroup(caps), 512);
}
gpu::KernelDesc describe_advance(const gpu::Caps& caps, bool records) {
  return {.shader = gpu::ShaderId::sample_advance,
          .constants = {caps.subgroup_size, 1, 1, {records ? 1u : 0u}},
          .subgroup_size = caps.subgroup_size};
}

Status check_runs(const SampleParams& p) {
  constexpr const char* label = "sample";
  if (p.max_runs == 0 || p.max_runs > params::kMaxRuns)
    return invalid(label, std::to_string(p.max_runs) + " runs in a step");
  if (!p.step.state || p.step.state.size < sizeof(params::StepState) + uint64_t{p.step.bucket} * sizeof(params::Row))
    return invalid(label, "the step's state is missing or too small");
  if (p.slots == 0 || !p.states || p.states.size < uint64_t{p.slots} * sizeof(params::SeqState))
    return invalid(label, "the sequence states are missing or too small");
  if (p.records && p.records.size < uint64_t{p.max_runs} * sizeof(params::SampleRecord))
    return invalid(label, "the records are too small");
  return {};
}

params::SamplePush push_of(const SampleParams& p, uint32_t parts) {
  return {.logits = p.logits.range.address(),
          .states = p.states.address(),
          .records = p.records.address(),
          .scratch = p.scratch.address(),
          .step = p.step.state.address(),
          .vocabulary = p.vocabulary,
          .logits_stride = p.logits.stride,
          .slots = p.slots,
          .parts = parts,
          .max_runs = p.max_runs,
          .reserved = 0};
}

}  // namespace

uint64_t sample_scratch_bytes(uint32_t max_runs, uint32_t /*vocabulary*/) {
  return uint64_t{max_runs} * params::kSampleMaxParts * sizeof(params::LogitPart);
}

Status sample(gpu::Recorder& recorder, const SampleParams& p) {
  constexpr const char* label = "sample";
  gpu::Device& device = recorder.device();
  const gpu::Caps& caps = device.caps();
  LAHAR_TRY(check_runs(p));
  // Ids pass through fp32 on the device.
  if (p.vocabulary == 0 || p.vocabulary > (1u << 24)) return invalid(label, std::to_string(p.vocabulary) + " tokens");
  LAHAR_TRY(check_rows(label, "logits", p.logits, p.max_runs, p.vocabulary));
  if (!p.records) return invalid(label, "the records are missing");
  if (!p.scratch || p.scratch.size < sample_scratch_bytes(p.max_runs, p.vocabulary))
    return invalid(label, "the scratch memory is missing or too small");

  const uint32_t parts = scan_parts(caps, p.vocabulary);
  const params::SamplePush push = push_of(p, parts);
  const gpu::BufferRange logits = rows_of(p.logits, p.max_runs, p.vocabulary);
  const gpu::BufferRange scratch = p.scratch.part(0, uint64_t{p.max_runs} * parts * sizeof(params::LogitPart));
  recorder.dispatch({.label = "logit scan",
                     .kernel = device.kernels().get(describe_scan(caps)),
                     .push = gpu::push_bytes(push),
                     .groups = {parts, p.max_runs, 1},
                     .reads = Ranges{logits, p.step.state},
                     .writes = Ranges{scratch}});
  recorder.dispatch({.label = "sample",
                     .kernel = device.kernels().get(describe_draw(caps)),
                     .push = gpu::push_bytes(push),
                     .groups = {p.max_runs, 1, 1},
                     .reads = Ranges{logits, scratch, p.states, p.step.state},
                     .writes = Ranges{p.records, p.states}});
  return {};
}

Status advance(gpu::Recorder& recorder, const SampleParams& p) {
  LAHAR_TRY(check_runs(p));
  gpu::Device& device = recorder.device();
  const params::SamplePush push = push_of(p, 1);
  Ranges writes{p.states, p.records};
  recorder.dispatch({.label = "advance",
                     .kernel = device.kernels().get(describe_advance(device.caps(), static_cast<bool>(p.records))),
                     .push = gpu::push_bytes(push),
                     .groups = {1, 1, 1},
                     .reads = Ranges{p.states, p.step.state},
                     .writes = writes});
  return {};
}

void list_sample_kernels(const gpu::Caps& caps, std::vector<gpu::KernelDesc>& out) {
  out.push_back(describe_scan(caps));
  out.push_back(describe_draw(caps));
  for (const bool records : {false, true}) out.push_back(describe_advance(caps, records));
}

}  // namespace lahar::ops
