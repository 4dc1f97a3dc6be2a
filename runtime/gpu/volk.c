// volk, compiled into the library under names of our own: an application may link the Vulkan loader, or a volk, itself.
// volk_names.h is made when the build is configured and renames every global of volk.c.
// The names must be known before volk.c is read.
// clang-format off
#include "volk_names.h"
#include <volk.c>
// clang-format on

VkResult lahar_vk_open_loader(PFN_vkGetInstanceProcAddr* get_instance_proc_addr) {
  const VkResult result = volkInitialize();
  *get_instance_proc_addr = vkGetInstanceProcAddr;
  return result;
}

// The caller holds a lock: volk reads the function from a global.
void lahar_vk_load_device_table(struct VolkDeviceTable* table, VkDevice device,
                                PFN_vkGetDeviceProcAddr get_device_proc_addr) {
  vkGetDeviceProcAddr = get_device_proc_addr;
  volkLoadDeviceTable(table, device);
}
