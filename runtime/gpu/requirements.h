// What a logical device is created with: the extensions and features that Lahar must have, and of the optional ones those
// that the physical device has. The same for a device of our own and for one that an application makes and hands over.
#pragma once

#include <vector>

#include "gpu/caps.h"
#include "gpu/physical_device.h"
#include "gpu/vulkan.h"

namespace lahar::gpu {

// Not copyable: the structures point at each other.
struct DeviceRequirements {
  DeviceRequirements(const PhysicalDevice& device, const Caps& caps);
  DeviceRequirements(const DeviceRequirements&) = delete;
  DeviceRequirements& operator=(const DeviceRequirements&) = delete;

  // f10 is the first of the chain, for VkDeviceCreateInfo::pNext.
  VkPhysicalDeviceFeatures2 f10{VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_FEATURES_2, nullptr, {}};
  VkPhysicalDeviceVulkan11Features f11{};
  VkPhysicalDeviceVulkan12Features f12{};
  VkPhysicalDeviceVulkan13Features f13{};
  VkPhysicalDeviceCooperativeMatrixFeaturesKHR cooperative_matrix{};
  VkPhysicalDeviceCooperativeMatrix2FeaturesNV cooperative_matrix2{};
  VkPhysicalDevicePipelineExecutablePropertiesFeaturesKHR executable{};
  std::vector<const char*> extensions;  // string literals
  uint32_t queue_family = 0;            // that kernels run on, where there is a choice
};

}  // namespace lahar::gpu
