#include "tune/timed.h"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <limits>
#include <vector>

#include "gpu/transfer.h"

namespace lahar::tune {
namespace {

using Clock = std::chrono::steady_clock;

constexpr double kLongEnough = 0.02;  // seconds of one submission
constexpr double kRunSeconds = 0.01;  // of one submission of a repeated call
constexpr uint32_t kMostRepeats = 4096;
constexpr uint32_t kMostCalls = 64;  // of a repeated call, where there are no more copies
constexpr int kRuns = 3;

double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

Result<double> time_list(gpu::Device& device, const gpu::CommandList& list) {
  const gpu::CommandList* lists[] = {&list};
  const auto start = Clock::now();
  LAHAR_ASSIGN(const uint64_t value, device.submit(lists));
  LAHAR_TRY(device.wait(value));
  return seconds_since(start);
}

double median(std::vector<double> v) {
  std::sort(v.begin(), v.end());
  return v.empty() ? 0 : v[v.size() / 2];
}

}  // namespace

Status run_once(gpu::Recorder& recorder) {
  LAHAR_ASSIGN(const gpu::CommandList list, recorder.finish());
  LAHAR_TRY(time_list(recorder.device(), list));
  return {};
}

Result<double> time_nodes(gpu::Device& device, const gpu::CommandList& list) {
  LAHAR_ASSIGN(const double seconds, time_list(device, list));
  LAHAR_ASSIGN(const auto timings, list.timings());
  const uint64_t ns = timings.empty() ? 0 : timings.back().begin_ns + timings.back().duration_ns;
  return ns > 0 ? static_cast<double>(ns) / 1e9 : seconds;
}

Result<RepeatedCall> RepeatedCall::create(gpu::Device& device, const RecordCopy& record, uint32_t copies, double estimate) {
  RepeatedCall call;
  call.device_ = &device;
  const double wanted = kRunSeconds / std::max(estimate, 1e-7);
  call.calls_ = static_cast<uint32_t>(std::clamp(wanted, 1.0, static_cast<double>(std::max(copies, kMostCalls))));
  gpu::Recorder recorder(device);
  for (uint32_t i = 0; i < call.calls_; ++i) LAHAR_TRY(record(recorder, i % copies));
  LAHAR_ASSIGN(gpu::CommandList list, recorder.finish({.timestamps = true}));
  call.list_ = std::make_unique<gpu::CommandList>(std::move(list));
  return call;
}

Result<double> RepeatedCall::run() {
  LAHAR_ASSIGN(const double seconds, time_nodes(*device_, *list_));
  return seconds / calls_;
}

Result<double> RepeatedCall::measure(uint32_t runs, double limit) {
  LAHAR_TRY(run());
  std::vector<double> seconds;
  const auto start = Clock::now();
  for (uint32_t i = 0; i < runs && (i == 0 || seconds_since(start) < limit); ++i) {
    LAHAR_ASSIGN(const double s, run());
    seconds.push_back(s);
  }
  return median(std::move(seconds));
}

Result<double> measure_call(gpu::Device& device, const RecordCopy& record, uint32_t copies, uint32_t runs) {
  LAHAR_ASSIGN(RepeatedCall once, RepeatedCall::create(device, record, copies, kRunSeconds));
  LAHAR_TRY(once.run());  // warms up
  LAHAR_ASSIGN(const double estimate, once.run());
  LAHAR_ASSIGN(RepeatedCall call, RepeatedCall::create(device, record, copies, estimate));
  return call.measure(runs, std::numeric_limits<double>::infinity());
}

Result<double> time_recording(gpu::Device& device, const std::function<Status(gpu::Recorder&)>& record) {
  for (uint32_t repeats = 1;; repeats *= 4) {
    gpu::Recorder recorder(device);
    for (uint32_t i = 0; i < repeats; ++i) LAHAR_TRY(record(recorder));
    LAHAR_ASSIGN(const gpu::CommandList list, recorder.finish());
    LAHAR_ASSIGN(double best, time_list(device, list));
    if (repeats == 1) { LAHAR_ASSIGN(best, time_list(device, list)); }
    if (best < kLongEnough && repeats < kMostRepeats) continue;
    for (int run = 0; run < kRuns; ++run) {
      LAHAR_ASSIGN(const double seconds, time_list(device, list));
      best = std::min(best, seconds);
    }
    return best / repeats;
  }
}

Result<TimedStep> TimedStep::create(gpu::Device& device, uint32_t rows, uint32_t position) {
  params::StepState state{};
  state.n_rows = rows;
  state.n_runs = 1;
  state.runs[0] = {0, 0, rows, 1};
  state.n_logits = std::min(rows, params::kMaxRuns);
  for (uint32_t i = 0; i < state.n_logits; ++i) state.logit_rows[i] = rows - state.n_logits + i;
  std::vector<std::byte> bytes(sizeof state + rows * sizeof(params::Row));
  std::memcpy(bytes.data(), &state, sizeof state);
  for (uint32_t t = 0; t < rows; ++t) {
    params::Row row{};
    row.position = row.kv_index = position + t;
    row.valid = 1;
    std::memcpy(bytes.data() + sizeof state + t * sizeof row, &row, sizeof row);
  }
  TimedStep step;
  step.rows_ = rows;
  LAHAR_ASSIGN(step.buffer_, device.create_buffer(bytes.size(), gpu::Memory::kDevice, "timed step"));
  LAHAR_TRY(gpu::upload(device, bytes, step.buffer_));
  return step;
}

}  // namespace lahar::tune
