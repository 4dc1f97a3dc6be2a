// Vulkan's entry points that belong to no device. Tables, not globals: two instances do not disturb each other.
#pragma once

#include "core/result.h"
#include "gpu/vulkan.h"

namespace lahar::gpu {

struct LoaderTable {
  PFN_vkGetInstanceProcAddr get_instance_proc_addr = nullptr;
  PFN_vkEnumerateInstanceVersion vkEnumerateInstanceVersion = nullptr;
  PFN_vkEnumerateInstanceExtensionProperties vkEnumerateInstanceExtensionProperties = nullptr;
  PFN_vkEnumerateInstanceLayerProperties vkEnumerateInstanceLayerProperties = nullptr;
  PFN_vkCreateInstance vkCreateInstance = nullptr;
};

// Opens the loader once in the life of the process. Errors: kNotFound.
Result<LoaderTable> open_loader();

struct InstanceTable {
  PFN_vkGetInstanceProcAddr get_instance_proc_addr = nullptr;
#define LAHAR_INSTANCE_FUNCTIONS(X)           \
  X(vkDestroyInstance)                        \
  X(vkEnumeratePhysicalDevices)               \
  X(vkEnumerateDeviceExtensionProperties)     \
  X(vkGetPhysicalDeviceProperties)            \
  X(vkGetPhysicalDeviceProperties2)           \
  X(vkGetPhysicalDeviceFeatures2)             \
  X(vkGetPhysicalDeviceMemoryProperties)      \
  X(vkGetPhysicalDeviceMemoryProperties2)     \
  X(vkGetPhysicalDeviceQueueFamilyProperties) \
  X(vkCreateDevice)                           \
  X(vkGetDeviceProcAddr)
#define LAHAR_INSTANCE_EXTENSION_FUNCTIONS(X)                           \
  X(vkGetPhysicalDeviceCooperativeMatrixPropertiesKHR)                  \
  X(vkGetPhysicalDeviceCooperativeMatrixFlexibleDimensionsPropertiesNV) \
  X(vkCreateDebugUtilsMessengerEXT)                                     \
  X(vkDestroyDebugUtilsMessengerEXT)                                    \
  X(vkCmdBeginDebugUtilsLabelEXT)                                       \
  X(vkCmdEndDebugUtilsLabelEXT)                                         \
  X(vkSetDebugUtilsObjectNameEXT)
#define X(name) PFN_##name name = nullptr;
  LAHAR_INSTANCE_FUNCTIONS(X)
  LAHAR_INSTANCE_EXTENSION_FUNCTIONS(X)  // null where the extension is not there
#undef X
};

InstanceTable load_instance_table(const LoaderTable& loader, VkInstance instance);

void load_device_table(VolkDeviceTable& table, VkDevice device, const InstanceTable& instance);

}  // namespace lahar::gpu
