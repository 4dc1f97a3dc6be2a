#include "tune/device_rates.h"

#include <algorithm>
#include <chrono>
#include <random>

#include "gpu/transfer.h"
#include "ops/matmul.h"
#include "quant/formats.h"
#include "quant/layout.h"
#include "stream.h"
#include "tune/timed.h"

namespace lahar::tune {
namespace {

constexpr uint64_t kMostCopyBytes = 512ull << 20, kCpuCopyBytes = 64ull << 20;  // of one side
constexpr uint64_t kPieceBytes = 32ull << 20;  // of a dispatch: 2 M vectors, 8192 workgroups

Result<double> matrix_rate(gpu::Device& device) {
  const bool cpu = device.caps().is_cpu();
  const uint32_t size = cpu ? 512 : 4096, rows = cpu ? 256 : 2048;
  LAHAR_ASSIGN(const quant::Layout layout, quant::layout(quant::WeightFormat::kF16, size, size));
  LAHAR_ASSIGN(const gpu::Buffer weights, device.create_buffer(layout.total_bytes, gpu::Memory::kDevice, "weights"));
  LAHAR_ASSIGN(const gpu::Buffer x, device.create_buffer(uint64_t{rows} * size * 4, gpu::Memory::kDevice, "x"));
  LAHAR_ASSIGN(const gpu::Buffer y, device.create_buffer(uint64_t{rows} * size * 4, gpu::Memory::kDevice, "y"));
  // Random numbers: of constant ones some devices compute faster, as they need less power.
  std::mt19937 random(1);
  std::uniform_real_distribution<float> any(-1, 1);
  std::vector<uint16_t> halves(layout.total_bytes / 2);
  for (uint16_t& h : halves) h = quant::float_to_half(any(random));
  std::vector<float> floats(size_t{rows} * size);
  for (float& f : floats) f = any(random);
  LAHAR_TRY(gpu::upload(device, std::as_bytes(std::span(halves)), weights));
  LAHAR_TRY(gpu::upload(device, std::as_bytes(std::span(floats)), x));
  LAHAR_ASSIGN(const TimedStep step, TimedStep::create(device, rows));

  quant::Matrix w;
  w.format = quant::WeightFormat::kF16, w.rows = w.cols = size;
  w.planes[0] = weights;
  ops::MatmulParams product;
  product.w = &w, product.x = {x, size}, product.y = {y, size}, product.step = step.ref(), product.label = "matrix rate";
  LAHAR_ASSIGN(const double seconds,
               time_recording(device, [&](gpu::Recorder& recorder) { return ops::matmul(recorder, product); }));
  return 2.0 * size * size * rows / seconds;
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

Result<DeviceRates> measure_device_rates(gpu::Device& device) {
  DeviceRates rates;
  LAHAR_ASSIGN(rates.copy, measure_copy_rate(device));
  LAHAR_ASSIGN(rates.matrix, matrix_rate(device));
  return rates;
}

}  // namespace lahar::tune
