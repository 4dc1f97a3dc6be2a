// A logical device: its function table, allocator, queue, kernels and timeline. Everything made from it holds it alive.
// Thread rule: create_buffer, kernels() and the const members may be called from any thread; submit()
// from one thread at a time.
#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <span>
#include <string>

#include "core/log.h"
#include "core/result.h"
#include "gpu/buffer.h"
#include "gpu/caps.h"
#include "gpu/instance.h"
#include "gpu/kernel.h"
#include "gpu/vulkan.h"

namespace lahar::gpu {

class Allocator;
class CommandList;
struct DeviceRequirements;  // gpu/requirements.h
struct PhysicalDevice;
struct Heap;  // gpu/heaps.h

struct DeviceOptions {
  std::string selector;                         // see Instance::select
  uint32_t disabled_features = 0;               // bits of Feature to pretend absent, so that tests reach every variant
  bool gpu_kernels = false;                     // on a CPU device, choose kernels as for a GPU, so that tests reach them
  std::filesystem::path pipeline_cache_folder;  // empty: platform::cache_folder()
  bool use_pipeline_cache = true;
};

// A device that an application has made with all that Device::requirements() asks for, and goes on using. It must live until
// the Device made from it is gone.
struct ImportedDevice {
  VkPhysicalDevice physical_device = VK_NULL_HANDLE;
  VkDevice device = VK_NULL_HANDLE;
  VkQueue queue = VK_NULL_HANDLE;
  uint32_t queue_family = 0;                       // with compute
  std::function<void()> lock_queue, unlock_queue;  // called around every use of the queue, on any thread; may be empty
};

struct MemoryUse {
  uint64_t used = 0;    // bytes of device-local memory that this process has allocated, but for what is `lent`
  uint64_t lent = 0;    // bytes of it behind Memory::kHost buffers, where the host's memory is the device's own
  uint64_t budget = 0;  // bytes it may use in all before the driver starts to swap or fail
};

// A timeline semaphore, and the value that it must have reached.
struct TimelineWait {
  VkSemaphore semaphore = VK_NULL_HANDLE;
  uint64_t value = 0;
};

class Device : public std::enable_shared_from_this<Device> {
 public:
  static Result<std::shared_ptr<Device>> open(std::shared_ptr<Instance> instance, DeviceOptions options = {});
  // Errors: kInvalidArgument, kUnsupported (as requirements()), kOutOfMemory.
  static Result<std::shared_ptr<Device>> import(std::shared_ptr<Instance> instance, const ImportedDevice& imported,
                                                DeviceOptions options = {});
  // What a VkDevice of this physical device has to be created with to be imported. Errors: kUnsupported, with the names of
  // what it lacks.
  static Result<std::unique_ptr<DeviceRequirements>> requirements(const Instance& instance, VkPhysicalDevice device);
  ~Device();
  Device(const Device&) = delete;
  Device& operator=(const Device&) = delete;

  const Caps& caps() const { return caps_; }
  const Log& log() const;
  Instance& instance() const { return *instance_; }
  VkDevice handle() const { return handle_; }
  const VolkDeviceTable& fn() const { return fn_; }
  uint32_t queue_family() const { return queue_family_; }

  // size > 0 bytes, 16-byte aligned address. Errors: kOutOfMemory, kLimit (over caps().max_buffer), kDeviceLost.
  Result<Buffer> create_buffer(uint64_t size, Memory intent, const std::string& name);
  KernelCache& kernels() { return *kernels_; }
  MemoryUse memory_use() const;
  std::vector<Heap> heaps() const;  // as they are now

  // Submits the lists in order as one batch that starts after everything submitted before it and after all `waits`, and
  // returns the value that the device's timeline takes when all of it has finished. Errors: kDeviceLost, kOutOfMemory.
  Result<uint64_t> submit(std::span<const CommandList* const> lists, std::span<const TimelineWait> waits = {});
  // Blocks without spinning until the timeline has reached `value`. timeout in nanoseconds; false when it ran out.
  Result<bool> wait(uint64_t value, uint64_t timeout = UINT64_MAX) const;
  Result<void> wait_idle() const;
  uint64_t submitted() const;  // the last value that submit() returned
  Result<uint64_t> completed() const;

  // Calls `destroy` once everything submitted so far has finished: how every object of this layer dies.
  void retire(std::function<void()> destroy);
  // Runs what retire() has kept and may run now. Any thread; submit() and create_buffer() do it too.
  void collect();
  // For validation messages and debuggers.
  void set_name(VkObjectType type, uint64_t object, const std::string& name) const;

 private:
  friend class Buffer;
  friend class CommandList;
  friend class CopyQueue;
  friend class KernelCache;
  friend class Recorder;
  Device() = default;
  static std::shared_ptr<Device> bare(std::shared_ptr<Instance> instance, const PhysicalDevice& physical,
                                      uint32_t queue_family, const DeviceOptions& options);
  // Makes what a Device has beside its handle and its queue.
  Status prepare(const PhysicalDevice& physical, const DeviceOptions& options);
  struct State;
  std::unique_ptr<State> state_;
  std::shared_ptr<Instance> instance_;
  Caps caps_;
  VkDevice handle_ = VK_NULL_HANDLE;
  VolkDeviceTable fn_{};
  uint32_t queue_family_ = 0;
  std::unique_ptr<KernelCache> kernels_;
};

}  // namespace lahar::gpu
