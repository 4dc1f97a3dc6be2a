#include "ops/altup.h"

#include "ops/catalogue.h"
#include "ops/op_helpers.h"
#include "params_altup.h"

namespace lahar::ops {
namespace {

using namespace detail;

gpu::KernelDesc describe(const gpu::Caps& caps, const StreamsRef& s, uint32_t mode) {
  const uint32_t subgroups = subgroups_for(caps, ceil_div(s.width, 4));
  return {.shader = gpu::ShaderId::altup_streams,
          .constants = {subgroups * caps.subgroup_size, 1, 1, {subgroups, mode, s.streams, s.active}},
          .subgroup_size = caps.subgroup_size};
}

gpu::KernelDesc describe(const gpu::Caps& caps, uint32_t width, uint32_t mode) {
  const uint32_t subgroups = subgroups_for(caps, ceil_div(width, 4));
  return {.shader = gpu::ShaderId::altup_per_layer,
          .constants = {subgroups * caps.subgroup_size, 1, 1, {subgroups, mode}},
          .subgroup_size = caps.subgroup_size};
}

// What one of the stream kernels is given; y is as wide as `y_width`.
struct Streams {
  std::string_view label;
  uint32_t mode = 0;
  Activations x, y;
  uint32_t y_width = 0;
  bool writes_x = false, writes_y = false, writes_streams = false;
  uint32_t mixed = 0;  // coefficients
};

Status check(const gpu::Caps& caps, const StreamsRef& s, const StreamMixer& m, const Streams& k, const StepRef& step) {
  LAHAR_TRY(check_step(k.label, step, caps.max_workgroup_count[0]));
  if (s.width == 0 || s.width % 4 != 0 || s.stream_width % 4 != 0 || s.stream_width < s.width)
    return invalid(k.label, "streams of " + std::to_string(s.width) + " floats");
  if (s.streams < 2 || s.streams > params::kMaxStreams || s.active >= s.streams)
    return invalid(k.label, std::to_string(s.streams) + " streams");
  if (s.rows.range) LAHAR_TRY(check_rows(k.label, "the streams", s.rows, step.bucket, s.streams * s.stream_width));
  if (k.x.range) LAHAR_TRY(check_rows(k.label, "x", k.x, step.bucket, s.width));
  if (k.y.range) LAHAR_TRY(check_rows(k.label, "y", k.y, step.bucket, k.y_width));
  if (k.mixed == 0) return {};
  LAHAR_TRY(check_vector(k.label, "norm", m.norm, s.width));
  LAHAR_TRY(check_vector(k.label, "router", m.router, uint64_t{s.streams} * s.width));
  if (m.scale) LAHAR_TRY(check_vector(k.label, "scale", m.scale, s.width));
  return check_vector(k.label, "coefficients", m.coefficients, k.mixed);
}

Status record(gpu::Recorder& recorder, const StreamsRef& s, const StreamMixer& m, const Streams& k, const StepRef& step) {
  const gpu::Caps& caps = recorder.device().caps();
  LAHAR_TRY(check(caps, s, m, k, step));
  const uint32_t rows = step.bucket;
  const params::StreamsPush push{.x = k.x.range.address(),
                                 .y = k.y.range.address(),
                                 .streams = s.rows.range.address(),
                                 .norm = m.norm.address(),
                                 .router = m.router.address(),
                                 .coefficients = m.coefficients.address(),
                                 .scale = m.scale.address(),
                                 .step = step.state.address(),
                                 .width = s.width,
                                 .x_stride = k.x.stride,
                                 .y_stride = k.y.stride,
                                 .streams_stride = s.rows.stride,
                                 .stream_width = s.stream_width,
                                 .eps = m.eps};
  Ranges reads{step.state, m.norm, m.router, m.coefficients, m.scale};
  Ranges writes{};
  const auto add = [&](const Activations& a, uint32_t width, bool written) {
    if (a.range) (written ? writes : reads).add(rows_of(a, rows, width));
    if (a.range && written) reads.add(rows_of(a, rows, width));
  };
  add(k.x, s.width, k.writes_x);
  add(k.y, k.y_width, k.writes_y);
  add(s.rows, s.streams * s.stream_width, k.writes_streams);
  recorder.dispatch({.label = k.label,
                     .kernel = recorder.device().kernels().get(describe(caps, s, k.mode)),
                     .push = gpu::push_bytes(push),
                     .groups = {rows, 1, 1},
                     .reads = reads,
                     .writes = writes});
  return {};
}

}  // namespace

Status predict_streams(gpu::Recorder& recorder, const StreamsRef& s, const StreamMixer& mixer, const Activations& x,
                       const StepRef& step) {
  return record(recorder, s, mixer,
                {.label = "predict streams",
                 .mode = params::kStreamsPredict,
                 .x = x,
                 .writes_x = true,
                 .writes_streams = true,
                 .mixed = s.streams * s.streams * s.streams},
                step);
}

Status correct_streams(gpu::Recorder& recorder, const StreamsRef& s, const StreamMixer& mixer, const Activations& x,
                       const Activations& y, const StepRef& step) {
  return record(recorder, s, mixer,
                {.label = "correct streams",
                 .mode = params::kStreamsCorrect,
                 .x = x,
                 .y = y,
                 .y_width = s.width,
                 .writes_y = true,
                 .writes_streams = true,
                 .mixed = s.streams * s.streams},
                step);
}

Status expand_streams(gpu::Recorder& recorder, const StreamsRef& s, const Activations& x, const Activations& y,
                      const StepRef& step) {
  return record(recorder, s, {.eps = 1e-5f},
                {.label = "expand streams",
                 .mode = params::kStreamsExpand,
                 .x = x,
                 .y = y,
                 .y_width = (s.streams - 1) * s.stream_width,
                 .writes_streams = true},
                step);
}

Status merge_streams(gpu::Recorder& recorder, const StreamsRef& s, const Activations& x, const Activations& y,
                     const StepRef& step) {
  return record(recorder, s, {.eps = 1e-5f},
                {.label = "merge streams",
                 .mode = params::kStreamsMerge,
                 .x = x,
                 .y = y,
                 .y_width = (s.streams - 1) * s.stream_width,
                 .writes_x = true},
                step);
}

Status add_to_streams(gpu::Recorder& recorder, const StreamsRef& s, const Activations& y, const StepRef& step) {
  return record(recorder, s, {},
                {.label = "add to streams", .mode = params::kStreamsAdd, .y = y, .y_width = s.width, .writes_streams = true},
                step);
}

Status average(gpu::Recorder& recorder, const Activations& x, const Activations& y, uint32_t width, const StepRef& step) {
  return record(recorder, {.streams = 2, .width = width, .stream_width = width}, {},
                {.label = "average", .mode = params::kStreamsAverage, .x = x, .y = y, .y_width = width, .writes_x = true},
                step);
}

Status layer_inputs(gpu::Recorder& recorder, const LayerInputsParams& p) {
  constexpr std::string_view kLabel = "layer inputs";
  const gpu::Caps& caps = recorder.device().caps();
  const uint32_t rows = p.step.bucket, all = p.layers * p.width;
  LAHAR_TRY(check_step(kLabel, p.step, caps.max_workgroup_count[1]));
  if (all == 0 || p.layers > caps.max_workgroup_count[0]) return invalid(kLabel, "inputs of no width");
  LAHAR_TRY(check_rows(kLabel, "x", p.x, rows, all));
  LAHAR_TRY(check_rows(kLabel, "inputs", p.inputs, rows, all));
  LAHAR_TRY(check_vector(kLabel, "weight", p.weight, p.width));
  const params::PerLayerPush push{.x = p.x.range.address(),
                                  .inputs = p.inputs.range.address(),
                                  .weight = p.weight.address(),
                                  .step = p.step.state.address(),
                                  .width = p.width,
                                  .x_stride = p.x.stride,
                                  .inputs_stride = p.inputs.stride,
                                  .first = 0,
                                  .eps = p.eps,
                                  .scale = p.scale,
                                  .deviations = 0,
                                  .reserved = 0};
  const gpu::BufferRange inputs = rows_of(p.inputs, rows, all);
  recorder.dispatch({.label = kLabel,
                     .kernel = recorder.device().kernels().get(describe(caps, p.width, params::kPerLayerInputs)),
                     .push = gpu::push_bytes(push),
                     .groups = {p.layers, rows, 1},
                     .reads = Ranges{rows_of(p.x, rows, all), inputs, p.weight, p.step.state},
                     .writes = Ranges{inputs}});
  return {};
}

Status gate_by_inputs(gpu::Recorder& recorder, const Activations& x, const Activations& inputs, uint32_t first,
                      uint32_t width, const StepRef& step) {
  constexpr std::string_view kLabel = "gate by inputs";
  const gpu::Caps& caps = recorder.device().caps();
  LAHAR_TRY(check_step(kLabel, step, caps.max_workgroup_count[1]));
  LAHAR_TRY(check_rows(kLabel, "x", x, step.bucket, width));
  LAHAR_TRY(check_rows(kLabel, "inputs", inputs, step.bucket, first + width));
  const params::PerLayerPush push{.x = x.range.address(),
                                  .inputs = inputs.range.address(),
                                  .weight = 0,
                                  .step = step.state.address(),
                                  .width = width,
                                  .x_stride = x.stride,
                                  .inputs_stride = inputs.stride,
                                  .first = first,
                                  .eps = 0,
                                  .scale = 1,
                                  .deviations = 0,
                                  .reserved = 0};
  const gpu::BufferRange written = rows_of(x, step.bucket, width);
  recorder.dispatch({.label = kLabel,
                     .kernel = recorder.device().kernels().get(describe(caps, width, params::kPerLayerGate)),
                     .push = gpu::push_bytes(push),
                     .groups = {1, step.bucket, 1},
                     .reads = Ranges{written, rows_of(inputs, step.bucket, first + width), step.state},
                     .writes = Ranges{written}});
  return {};
}

Status cut_below(gpu::Recorder& recorder, const Activations& x, uint32_t width, float deviations, uint32_t divisor,
                 const StepRef& step) {
  constexpr std::string_view kLabel = "cut";
  const gpu::Caps& caps = recorder.device().caps();
  LAHAR_TRY(check_step(kLabel, step, caps.max_workgroup_count[1]));
  LAHAR_TRY(check_rows(kLabel, "x", x, step.bucket, width));
  if (divisor == 0) return invalid(kLabel, "a divisor of 0");
  const params::PerLayerPush push{.x = x.range.address(),
                                  .inputs = 0,
                                  .weight = 0,
                                  .step = step.state.address(),
                                  .width = width,
                                  .x_stride = x.stride,
                                  .inputs_stride = 0,
                                  .first = 0,
                                  .eps = 0,
                                  .scale = 1 / static_cast<float>(divisor),
                                  .deviations = deviations,
                                  .reserved = 0};
  const gpu::BufferRange written = rows_of(x, step.bucket, width);
  recorder.dispatch({.label = kLabel,
                     .kernel = recorder.device().kernels().get(describe(caps, width, params::kPerLayerCut)),
                     .push = gpu::push_bytes(push),
                     .groups = {1, step.bucket, 1},
                     .reads = Ranges{written, step.state},
                     .writes = Ranges{written}});
  return {};
}

void list_altup_kernels(const gpu::Caps& caps, std::vector<gpu::KernelDesc>& out) {
  const StreamsRef streams{.rows = {}, .streams = 4, .active = 0, .width = 2048, .stream_width = 2048};
  for (uint32_t mode = params::kStreamsPredict; mode <= params::kStreamsAverage; ++mode)
    out.push_back(describe(caps, streams, mode));
  for (const uint32_t mode : {params::kPerLayerInputs, params::kPerLayerGate}) out.push_back(describe(caps, 256, mode));
  out.push_back(describe(caps, 8192, params::kPerLayerCut));
}

}  // namespace lahar::ops
