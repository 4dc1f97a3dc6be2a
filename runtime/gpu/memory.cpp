#include "gpu/memory.h"

// All that vk_mem_alloc.h includes, so that only its own declarations land in the namespace below.
#include <algorithm>
#include <atomic>
#include <bit>
#include <cassert>
#include <cinttypes>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <shared_mutex>
#include <type_traits>
#include <utility>
#include <vector>

#include "gpu/error.h"

// The allocator lives in a namespace and in this file alone: an application that has its own copy links without a clash.
#define VMA_IMPLEMENTATION
#define VMA_STATIC_VULKAN_FUNCTIONS 0
#define VMA_DYNAMIC_VULKAN_FUNCTIONS 1
#define VMA_STATS_STRING_ENABLED 0
#define VMA_CALL_PRE [[maybe_unused]] static
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wunused-parameter"
#pragma GCC diagnostic ignored "-Wunused-variable"
#pragma GCC diagnostic ignored "-Wunused-function"
#pragma GCC diagnostic ignored "-Wmissing-field-initializers"
#pragma GCC diagnostic ignored "-Wparentheses"
#pragma GCC diagnostic ignored "-Wimplicit-fallthrough"
#pragma GCC diagnostic ignored "-Wtype-limits"
namespace lahar::gpu::vma {
#include <vk_mem_alloc.h>
}
#pragma GCC diagnostic pop

namespace lahar::gpu {

// Buffers that the host fills for every step are small and go where the GPU reads them fast, where the host can reach that
// memory; large ones are staging, read once, and would only fill a small window.
constexpr uint64_t kSmallUpload = 1 << 20;

struct Allocator::State {
  vma::VmaAllocator handle = nullptr;
  const VkPhysicalDeviceMemoryProperties* memory = nullptr;
  std::vector<uint32_t> queue_families;
  std::atomic<uint64_t> lent{0};
};

Result<std::unique_ptr<Allocator>> Allocator::create(const Context& context) {
  vma::VmaVulkanFunctions functions{};
  functions.vkGetInstanceProcAddr = context.instance_fn->get_instance_proc_addr;
  functions.vkGetDeviceProcAddr = context.instance_fn->vkGetDeviceProcAddr;
  vma::VmaAllocatorCreateInfo info{};
  info.flags = vma::VMA_ALLOCATOR_CREATE_BUFFER_DEVICE_ADDRESS_BIT;
  if (context.memory_budget) info.flags |= vma::VMA_ALLOCATOR_CREATE_EXT_MEMORY_BUDGET_BIT;
  info.instance = context.instance;
  info.physicalDevice = context.physical_device;
  info.device = context.device;
  info.pVulkanFunctions = &functions;
  info.vulkanApiVersion = VK_API_VERSION_1_3;
  std::unique_ptr<Allocator> allocator(new Allocator);
  allocator->state_ = std::make_unique<State>();
  LAHAR_VK(vma::vmaCreateAllocator(&info, &allocator->state_->handle), "creating the memory allocator");
  vma::vmaGetMemoryProperties(allocator->state_->handle, &allocator->state_->memory);
  allocator->state_->queue_families = context.queue_families;
  return allocator;
}

Allocator::~Allocator() {
  if (state_->handle != nullptr) vma::vmaDestroyAllocator(state_->handle);
}

Result<Allocation> Allocator::allocate(uint64_t size, Memory intent) {
  VkBufferCreateInfo info{VK_STRUCTURE_TYPE_BUFFER_CREATE_INFO};
  info.size = size;
  info.usage = VK_BUFFER_USAGE_STORAGE_BUFFER_BIT | VK_BUFFER_USAGE_TRANSFER_SRC_BIT | VK_BUFFER_USAGE_TRANSFER_DST_BIT |
               VK_BUFFER_USAGE_INDIRECT_BUFFER_BIT | VK_BUFFER_USAGE_SHADER_DEVICE_ADDRESS_BIT;
  if (state_->queue_families.size() > 1) {
    info.sharingMode = VK_SHARING_MODE_CONCURRENT;
    info.queueFamilyIndexCount = static_cast<uint32_t>(state_->queue_families.size());
    info.pQueueFamilyIndices = state_->queue_families.data();
  }
  vma::VmaAllocationCreateInfo how{};
  switch (intent) {
    case Memory::kDevice:
      // An allocation that does not fit fails, rather than being moved to slow memory by the driver.
      how.usage = vma::VMA_MEMORY_USAGE_AUTO_PREFER_DEVICE;
      how.requiredFlags = VK_MEMORY_PROPERTY_DEVICE_LOCAL_BIT;
      how.flags = vma::VMA_ALLOCATION_CREATE_WITHIN_BUDGET_BIT;
      break;
    case Memory::kHost: how.usage = vma::VMA_MEMORY_USAGE_AUTO_PREFER_HOST; break;
    case Memory::kUpload:
      how.usage = size <= kSmallUpload ? vma::VMA_MEMORY_USAGE_AUTO_PREFER_DEVICE : vma::VMA_MEMORY_USAGE_AUTO_PREFER_HOST;
      how.flags = vma::VMA_ALLOCATION_CREATE_MAPPED_BIT | vma::VMA_ALLOCATION_CREATE_HOST_ACCESS_SEQUENTIAL_WRITE_BIT;
      how.requiredFlags = VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT | VK_MEMORY_PROPERTY_HOST_COHERENT_BIT;
      break;
    case Memory::kReadback:
      how.usage = vma::VMA_MEMORY_USAGE_AUTO_PREFER_HOST;
      how.flags = vma::VMA_ALLOCATION_CREATE_MAPPED_BIT | vma::VMA_ALLOCATION_CREATE_HOST_ACCESS_RANDOM_BIT;
      how.requiredFlags = VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT | VK_MEMORY_PROPERTY_HOST_COHERENT_BIT;
      how.preferredFlags = VK_MEMORY_PROPERTY_HOST_CACHED_BIT;
      break;
  }
  vma::VmaAllocation memory = nullptr;
  vma::VmaAllocationInfo placed{};
  Allocation out;
  LAHAR_VK(vma::vmaCreateBufferWithAlignment(state_->handle, &info, &how, 256, &out.buffer, &memory, &placed),
           "allocating " + std::to_string(size) + " bytes");
  out.memory = memory;
  out.mapped = static_cast<std::byte*>(placed.pMappedData);
  const uint32_t heap = state_->memory->memoryTypes[placed.memoryType].heapIndex;
  if (intent == Memory::kHost && (state_->memory->memoryHeaps[heap].flags & VK_MEMORY_HEAP_DEVICE_LOCAL_BIT))
    state_->lent += out.lent = size;
  return out;
}

void Allocator::free(const Allocation& allocation) {
  vma::vmaDestroyBuffer(state_->handle, allocation.buffer, static_cast<vma::VmaAllocation>(allocation.memory));
  state_->lent -= allocation.lent;
}

Allocator::Use Allocator::use() const {
  vma::VmaBudget budgets[VK_MAX_MEMORY_HEAPS] = {};
  vma::vmaGetHeapBudgets(state_->handle, budgets);
  Use use;
  for (uint32_t i = 0; i < state_->memory->memoryHeapCount; ++i) {
    if (!(state_->memory->memoryHeaps[i].flags & VK_MEMORY_HEAP_DEVICE_LOCAL_BIT)) continue;
    use.used += budgets[i].statistics.allocationBytes;
    use.budget += budgets[i].budget;
  }
  use.lent = std::min<uint64_t>(state_->lent, use.used);
  return use;
}

}  // namespace lahar::gpu
