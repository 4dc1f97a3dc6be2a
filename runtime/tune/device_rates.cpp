#include "tune/device_rates.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <limits>
#include <set>

#include "stream.h"
#include "tune/timed.h"
#include "tune/tuner.h"

namespace lahar::tune {
namespace {

constexpr uint64_t kMostCopyBytes = 512ull << 20, kCpuCopyBytes = 64ull << 20;  // of one side
constexpr uint64_t kPieceBytes = 32ull << 20;  // of a dispatch: 2 M vectors, 8192 workgroups
constexpr double kMatrixSeconds = 1;           // after which no other form of the product is tried
constexpr double kHopeless = 8;                // times as long as the fastest form, in a first run: not timed

// Each path's first form before the others.
std::vector<Candidate> paths_first(std::vector<Candidate> candidates) {
  std::set<std::string> seen;
  std::stable_partition(candidates.begin(), candidates.end(),
                        [&](const Candidate& candidate) { return seen.insert(candidate.path).second; });
  return candidates;
}

// Operations in a second of the fastest form of a product that computes the right result.
Result<double> matrix_rate(gpu::Device& device, const ops::Tuning* tuning) {
  const bool cpu = device.caps().is_cpu();
  const uint32_t size = cpu ? 512 : 4096, rows = cpu ? 256 : 2048;
  const MatmulShape shape{.matrix = {quant::WeightFormat::kF16, size, size, 0}};
  LAHAR_ASSIGN(SampleMatrix matrix, SampleMatrix::create(device, shape.matrix, 1));
  LAHAR_ASSIGN(Case product, make_matmul_case(device, std::make_shared<const SampleMatrix>(std::move(matrix)), shape, rows));
  const std::vector<Candidate> candidates = paths_first(std::move(product.candidates));
  const auto start = std::chrono::steady_clock::now();
  double best = std::numeric_limits<double>::infinity();  // seconds
  for (const Candidate& candidate : candidates) {
    const double took = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    if (took > kMatrixSeconds && std::isfinite(best)) break;
    if (tuning != nullptr && tuning->quarantined(candidate.form) != nullptr) continue;
    product.candidates = {candidate};
    LAHAR_ASSIGN(const auto checked, check_case(device, product, nullptr));
    const FormResult& result = checked.front();
    if (result.status != FormResult::Status::kOk || result.check_seconds > kHopeless * best) continue;
    LAHAR_ASSIGN(const double seconds, time_recording(device, [&](gpu::Recorder& r) { return candidate.record(r, 0); }));
    best = std::min(best, seconds);
  }
  return product.flops / best;
}

}  // namespace

Result<double> measure_copy_rate(gpu::Device& device) {
  const gpu::Caps& caps = device.caps();
  const gpu::MemoryUse use = device.memory_use();
  const uint64_t free = use.budget > use.used ? use.budget - use.used : 0;
  uint64_t bytes =
      std::min({caps.is_cpu() ? kCpuCopyBytes : kMostCopyBytes, free / 8, caps.max_buffer, caps.max_allocation});
  bytes = std::max<uint64_t>(bytes / kPieceBytes, 1) * kPieceBytes;
  LAHAR_ASSIGN(const gpu::Buffer from, device.create_buffer(bytes, gpu::Memory::kDevice, "copy source"));
  LAHAR_ASSIGN(const gpu::Buffer to, device.create_buffer(bytes, gpu::Memory::kDevice, "copy destination"));
  gpu::Recorder fill(device);
  fill.fill("fill", from, 0x01020304u);
  LAHAR_TRY(run_once(fill));

  double best = 0;
  for (const bool by_kernel : {true, false}) {
    LAHAR_ASSIGN(const double seconds, time_recording(device, [&](gpu::Recorder& recorder) -> Status {
                   if (!by_kernel) {
                     recorder.copy("copy", from, to);
                     return {};
                   }
                   constexpr uint32_t kLanes = 256;
                   for (uint64_t at = 0; at < bytes; at += kPieceBytes) {
                     const params::StreamParams push{from.address() + at, to.address() + at, kPieceBytes / 16, 0};
                     const gpu::BufferRange reads[] = {{from, at, kPieceBytes}}, writes[] = {{to, at, kPieceBytes}};
                     recorder.dispatch({.label = "copy",
                                        .kernel = device.kernels().get({gpu::ShaderId::stream, {kLanes, 1, 1, {1}}, 0}),
                                        .push = gpu::push_bytes(push),
                                        .groups = {static_cast<uint32_t>(kPieceBytes / 16 / kLanes)},
                                        .reads = reads,
                                        .writes = writes});
                   }
                   return {};
                 }));
    best = std::max(best, 2 * static_cast<double>(bytes) / seconds);
  }
  return best;
}

Result<DeviceRates> measure_device_rates(gpu::Device& device, const ops::Tuning* tuning) {
  DeviceRates rates;
  LAHAR_ASSIGN(rates.copy, measure_copy_rate(device));
  LAHAR_ASSIGN(rates.matrix, matrix_rate(device, tuning));
  return rates;
}

}  // namespace lahar::tune
