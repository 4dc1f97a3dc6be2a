#include "tune/timed.h"

#include <algorithm>
#include <chrono>
#include <cstring>

#include "gpu/transfer.h"

namespace lahar::tune {
namespace {

constexpr double kLongEnough = 0.02;  // seconds of one submission
constexpr uint32_t kMostRepeats = 4096;
constexpr int kRuns = 3;

Result<double> time_list(gpu::Device& device, const gpu::CommandList& list) {
  const gpu::CommandList* lists[] = {&list};
  const auto start = std::chrono::steady_clock::now();
  LAHAR_ASSIGN(const uint64_t value, device.submit(lists));
  LAHAR_TRY(device.wait(value));
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

}  // namespace

Status run_once(gpu::Recorder& recorder) {
  LAHAR_ASSIGN(const gpu::CommandList list, recorder.finish());
  LAHAR_TRY(time_list(recorder.device(), list));
  return {};
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
