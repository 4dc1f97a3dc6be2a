#include "gpu/loader.h"

#include <mutex>

extern "C" {
VkResult lahar_vk_open_loader(PFN_vkGetInstanceProcAddr* get_instance_proc_addr);
void lahar_vk_load_device_table(VolkDeviceTable* table, VkDevice device, PFN_vkGetDeviceProcAddr get_device_proc_addr);
}

namespace lahar::gpu {

Result<LoaderTable> open_loader() {
  static std::mutex mutex;
  static LoaderTable table;
  const std::lock_guard lock(mutex);
  if (table.vkCreateInstance != nullptr) return table;
  PFN_vkGetInstanceProcAddr get = nullptr;
  if (lahar_vk_open_loader(&get) != VK_SUCCESS || get == nullptr)
    return Error{ErrorCode::kNotFound,
                 "no Vulkan loader (libvulkan.so.1) on this machine; install it with the driver of your GPU "
                 "(Debian, Ubuntu: libvulkan1 and mesa-vulkan-drivers)"};
  table.get_instance_proc_addr = get;
  table.vkEnumerateInstanceVersion =
      reinterpret_cast<PFN_vkEnumerateInstanceVersion>(get(VK_NULL_HANDLE, "vkEnumerateInstanceVersion"));
  table.vkEnumerateInstanceExtensionProperties = reinterpret_cast<PFN_vkEnumerateInstanceExtensionProperties>(
      get(VK_NULL_HANDLE, "vkEnumerateInstanceExtensionProperties"));
  table.vkEnumerateInstanceLayerProperties =
      reinterpret_cast<PFN_vkEnumerateInstanceLayerProperties>(get(VK_NULL_HANDLE, "vkEnumerateInstanceLayerProperties"));
  table.vkCreateInstance = reinterpret_cast<PFN_vkCreateInstance>(get(VK_NULL_HANDLE, "vkCreateInstance"));
  if (table.vkCreateInstance == nullptr) return Error{ErrorCode::kNotFound, "the Vulkan loader has no vkCreateInstance"};
  return table;
}

InstanceTable load_instance_table(const LoaderTable& loader, VkInstance instance) {
  InstanceTable table;
  table.get_instance_proc_addr = loader.get_instance_proc_addr;
#define X(name) table.name = reinterpret_cast<PFN_##name>(loader.get_instance_proc_addr(instance, #name));
  LAHAR_INSTANCE_FUNCTIONS(X)
  LAHAR_INSTANCE_EXTENSION_FUNCTIONS(X)
#undef X
  return table;
}

void load_device_table(VolkDeviceTable& table, VkDevice device, const InstanceTable& instance) {
  static std::mutex mutex;
  const std::lock_guard lock(mutex);
  lahar_vk_load_device_table(&table, device, instance.vkGetDeviceProcAddr);
}

}  // namespace lahar::gpu
