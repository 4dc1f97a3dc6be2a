#include "gpu/heaps.h"

#include <algorithm>

#include "gpu/device_state.h"

namespace lahar::gpu {

std::vector<Heap> Device::heaps() const {
  VkPhysicalDeviceMemoryBudgetPropertiesEXT budget{
      VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_MEMORY_BUDGET_PROPERTIES_EXT, nullptr, {}, {}};
  const bool has_budget = caps_.memory_budget;
  VkPhysicalDeviceMemoryProperties2 memory{
      VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_MEMORY_PROPERTIES_2, has_budget ? &budget : nullptr, {}};
  state_->instance->fn.vkGetPhysicalDeviceMemoryProperties2(caps_.info.handle, &memory);
  const VkPhysicalDeviceMemoryProperties& m = memory.memoryProperties;
  std::vector<Heap> heaps(m.memoryHeapCount);
  for (uint32_t i = 0; i < m.memoryHeapCount; ++i) {
    heaps[i].size = m.memoryHeaps[i].size;
    heaps[i].budget = has_budget ? budget.heapBudget[i] : heaps[i].size;
    heaps[i].used = has_budget ? budget.heapUsage[i] : 0;
    heaps[i].device_local = (m.memoryHeaps[i].flags & VK_MEMORY_HEAP_DEVICE_LOCAL_BIT) != 0;
  }
  for (uint32_t i = 0; i < m.memoryTypeCount; ++i)
    if (m.memoryTypes[i].propertyFlags & VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT)
      heaps[m.memoryTypes[i].heapIndex].host_visible = true;
  return heaps;
}

bool has_resizable_bar(const std::vector<Heap>& heaps) {
  constexpr uint64_t kOldWindow = 256ull << 20;
  return std::any_of(heaps.begin(), heaps.end(),
                     [](const Heap& h) { return h.device_local && h.host_visible && h.size > kOldWindow; });
}

}  // namespace lahar::gpu
