// Device memory. Vulkan Memory Allocator, which nothing outside memory.cpp sees.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "core/result.h"
#include "gpu/buffer.h"
#include "gpu/loader.h"
#include "gpu/vulkan.h"

namespace lahar::gpu {

struct Allocation {
  VkBuffer buffer = VK_NULL_HANDLE;
  void* memory = nullptr;
  std::byte* mapped = nullptr;
  uint64_t lent = 0;  // see Allocator::Use
};

// Thread rule: any thread.
class Allocator {
 public:
  struct Context {
    VkInstance instance;
    VkPhysicalDevice physical_device;
    VkDevice device;
    const InstanceTable* instance_fn;
    bool memory_budget;
    std::vector<uint32_t> queue_families;  // that use buffers
  };
  static Result<std::unique_ptr<Allocator>> create(const Context& context);
  ~Allocator();
  Allocator(const Allocator&) = delete;
  Allocator& operator=(const Allocator&) = delete;

  // A buffer for storage, transfers and indirect dispatches, 256-byte aligned. Errors: kOutOfMemory, kDeviceLost.
  Result<Allocation> allocate(uint64_t size, Memory intent);
  void free(const Allocation& allocation);

  struct Use {
    uint64_t used = 0, budget = 0;  // bytes of device-local heaps
    uint64_t lent = 0;              // of `used`, what Memory::kHost buffers take: all memory is the device's own on some
  };
  Use use() const;

 private:
  Allocator() = default;
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace lahar::gpu
