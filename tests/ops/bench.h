// What the benchmarks of single ops share. They end at the first error.
#pragma once

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string>

#include "gpu/commands.h"
#include "gpu/device.h"

namespace lahar::bench {

template <typename T>
T need(Result<T> result) {
  if (result.ok()) return std::move(result).value();
  std::fprintf(stderr, "%s\n", result.error().message.c_str());
  std::exit(1);
}
inline void need(const Status& status) {
  if (status.ok()) return;
  std::fprintf(stderr, "%s\n", status.error().message.c_str());
  std::exit(1);
}

// The device that LAHAR_DEVICE names, with the kernels that LAHAR_KERNELS says, all built anew.
inline std::shared_ptr<gpu::Device> open_device() {
  gpu::DeviceOptions options;
  options.use_pipeline_cache = false;
  if (const char* selector = std::getenv("LAHAR_DEVICE")) options.selector = selector;
  if (const char* kernels = std::getenv("LAHAR_KERNELS")) options.gpu_kernels = std::string(kernels) == "gpu";
  return need(gpu::Device::open(need(gpu::Instance::create({})), options));
}

// Seconds from the list's submission to its end.
inline double run(gpu::Device& device, const gpu::CommandList& list) {
  const gpu::CommandList* lists[] = {&list};
  const auto start = std::chrono::steady_clock::now();
  need(device.wait(need(device.submit(lists))));
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

}  // namespace lahar::bench
