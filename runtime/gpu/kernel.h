// Compute pipelines: a shader of the bank and the numbers that specialize it, built lazily on worker threads.
#pragma once

#include <array>
#include <cstdint>
#include <future>
#include <initializer_list>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "core/result.h"
#include "gpu/shader_bank.h"
#include "gpu/vulkan.h"

namespace lahar::gpu {

class Device;
struct DeviceOptions;

// The values of specialization constants 0, 1, 2 (the workgroup's size) and 3, 4, ... in order; floats by bit pattern.
class SpecConstants {
 public:
  static constexpr size_t kMax = 24;
  SpecConstants() = default;
  SpecConstants(uint32_t x, uint32_t y, uint32_t z, std::initializer_list<uint32_t> rest = {}) {
    push(x), push(y), push(z);
    for (uint32_t v : rest) push(v);
  }
  void push(uint32_t value) { values_[count_++] = value; }  // at most kMax values
  std::span<const uint32_t> values() const { return {values_.data(), count_}; }
  bool operator==(const SpecConstants&) const = default;

 private:
  std::array<uint32_t, kMax> values_{};
  size_t count_ = 0;
};

struct KernelDesc {
  ShaderId shader{};
  SpecConstants constants;
  // 0: whatever the device takes by default; else the subgroup size to require (caps().subgroup_size_control) with full
  // subgroups. On a device without control, it must equal caps().subgroup_size.
  uint32_t subgroup_size = 0;
  bool operator==(const KernelDesc&) const = default;
};

// What the driver's compiler says of a pipeline; nullopt where it says nothing.
struct KernelStatistics {
  std::optional<uint64_t> registers, spills, shared_memory, occupancy;
  std::optional<uint64_t> estimate;  // the compiler's own, of the time that the code takes; less is faster, units differ
  std::vector<std::pair<std::string, std::string>> all;  // every statistic by its driver's name
};

// Owned by the cache; stays valid as long as the device.
class Kernel {
 public:
  const KernelDesc& desc() const { return desc_; }
  ShaderInfo shader() const { return shader_info(desc_.shader); }
  // Waits until the pipeline is built. Errors: kUnsupported (the device lacks a feature that the shader needs, by name),
  // kInternal (the driver refused to compile), kDeviceLost.
  Result<VkPipeline> pipeline() const;

 private:
  friend class KernelCache;
  KernelDesc desc_;
  std::shared_future<Result<VkPipeline>> built_;
};

class KernelCache {
 public:
  ~KernelCache();
  // Starts building on first use and returns at once. Any thread.
  const Kernel* get(const KernelDesc& desc);
  // Waits until everything that was asked for is built; the first error.
  Status wait_all();
  // Builds `desc` by itself with statistics captured, outside the cache.
  Result<KernelStatistics> statistics(const KernelDesc& desc);
  VkPipelineLayout layout() const;  // no descriptor sets, 128 bytes of push constants
  // Every kernel asked for so far.
  std::vector<const Kernel*> kernels() const;
  // Writes the pipeline cache to disk when it has grown. The device does it when it is destroyed.
  void save();

 private:
  friend class Device;
  KernelCache() = default;
  static Result<std::unique_ptr<KernelCache>> create(Device& device, const DeviceOptions& options);
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace lahar::gpu
