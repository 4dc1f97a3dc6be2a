// What the drivers tell of a GPU before it is opened, and the decisions that follow from it.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/result.h"
#include "gpu/instance.h"
#include "gpu/loader.h"
#include "gpu/vulkan.h"

namespace lahar::gpu {

// Of what refusal() judges by. Pure data, so that tests can take features away.
struct DeviceFeatures {
  uint32_t api_version = 0;
  bool buffer_device_address = false, timeline_semaphore = false, synchronization2 = false, maintenance4 = false;
  bool scalar_block_layout = false, shader_int64 = false;
  bool compute_queue = false;
  VkShaderStageFlags subgroup_stages = 0;
  VkSubgroupFeatureFlags subgroup_operations = 0;
};

// Empty where Lahar can run; else "lacks X, Y": every required thing that is missing, by Vulkan's name.
std::string refusal(const DeviceFeatures& features);

// All of Vulkan's feature and property structures that this layer reads, chained. Not copyable: they point at each other.
struct PhysicalDevice {
  PhysicalDevice(const InstanceTable& fn, VkPhysicalDevice handle);
  PhysicalDevice(const PhysicalDevice&) = delete;
  PhysicalDevice& operator=(const PhysicalDevice&) = delete;

  bool has_extension(std::string_view name) const;
  DeviceFeatures features() const;
  // The family that kernels run on: compute without graphics where there is one that has timestamps, else the first with
  // compute; nullopt where there is none.
  std::optional<uint32_t> compute_family() const;
  // A family that does nothing but copies, beside what runs elsewhere; nullopt where there is none.
  std::optional<uint32_t> transfer_family() const;

  const InstanceTable& fn;
  VkPhysicalDevice handle;
  std::vector<std::string> extensions;
  std::vector<VkQueueFamilyProperties> queue_families;
  VkPhysicalDeviceMemoryProperties memory{};

  // Properties; only `base` is filled where the device is older than Vulkan 1.3.
  VkPhysicalDeviceProperties2 base{VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PROPERTIES_2, nullptr, {}};
  VkPhysicalDeviceVulkan11Properties v11{};
  VkPhysicalDeviceVulkan12Properties v12{};
  VkPhysicalDeviceVulkan13Properties v13{};
  VkPhysicalDeviceCooperativeMatrix2PropertiesNV matrix2{};

  // Features that the device has.
  VkPhysicalDeviceFeatures2 f10{VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_FEATURES_2, nullptr, {}};
  VkPhysicalDeviceVulkan11Features f11{};
  VkPhysicalDeviceVulkan12Features f12{};
  VkPhysicalDeviceVulkan13Features f13{};
  VkPhysicalDeviceCooperativeMatrixFeaturesKHR cooperative_matrix{};
  VkPhysicalDeviceCooperativeMatrix2FeaturesNV cooperative_matrix2{};
  VkPhysicalDevicePipelineExecutablePropertiesFeaturesKHR executable{};
};

// Lower-case hexadecimal digits.
std::string hex(std::span<const uint8_t> bytes);

// index is left 0.
DeviceInfo describe(const PhysicalDevice& device);

// Sorts by type, else keeps the order, and numbers them.
void put_in_order(std::vector<DeviceInfo>& devices);

// See Instance::select.
Result<DeviceInfo> select_device(std::span<const DeviceInfo> devices, std::string_view selector);

}  // namespace lahar::gpu
