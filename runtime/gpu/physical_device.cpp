#include "gpu/physical_device.h"

#include <algorithm>
#include <cctype>

namespace lahar::gpu {
namespace {

constexpr VkSubgroupFeatureFlags kSubgroupOperations = VK_SUBGROUP_FEATURE_BASIC_BIT | VK_SUBGROUP_FEATURE_ARITHMETIC_BIT |
                                                       VK_SUBGROUP_FEATURE_SHUFFLE_BIT | VK_SUBGROUP_FEATURE_BALLOT_BIT;

std::string lower(std::string_view text) {
  std::string out(text);
  for (char& c : out) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return out;
}

DeviceType device_type(VkPhysicalDeviceType type) {
  switch (type) {
    case VK_PHYSICAL_DEVICE_TYPE_DISCRETE_GPU: return DeviceType::kDiscrete;
    case VK_PHYSICAL_DEVICE_TYPE_INTEGRATED_GPU: return DeviceType::kIntegrated;
    case VK_PHYSICAL_DEVICE_TYPE_VIRTUAL_GPU: return DeviceType::kVirtual;
    case VK_PHYSICAL_DEVICE_TYPE_CPU: return DeviceType::kCpu;
    default: return DeviceType::kOther;
  }
}

int rank(DeviceType type) {
  switch (type) {
    case DeviceType::kDiscrete: return 0;
    case DeviceType::kIntegrated: return 1;
    case DeviceType::kVirtual: return 2;
    case DeviceType::kOther: return 3;
    case DeviceType::kCpu: return 4;
  }
  return 5;
}

}  // namespace

std::string hex(std::span<const uint8_t> bytes) {
  constexpr char kDigits[] = "0123456789abcdef";
  std::string out;
  for (uint8_t b : bytes) out += kDigits[b >> 4], out += kDigits[b & 15];
  return out;
}

std::string_view to_string(DeviceType type) {
  switch (type) {
    case DeviceType::kDiscrete: return "discrete";
    case DeviceType::kIntegrated: return "integrated";
    case DeviceType::kVirtual: return "virtual";
    case DeviceType::kCpu: return "cpu";
    case DeviceType::kOther: break;
  }
  return "other";
}

std::string refusal(const DeviceFeatures& f) {
  if (f.api_version < VK_API_VERSION_1_3)
    return "lacks Vulkan 1.3 (its driver has " + std::to_string(VK_API_VERSION_MAJOR(f.api_version)) + "." +
           std::to_string(VK_API_VERSION_MINOR(f.api_version)) + ")";
  std::string missing;
  const auto need = [&missing](bool has, std::string_view name) {
    if (!has) missing += (missing.empty() ? "lacks " : ", ") + std::string(name);
  };
  need(f.compute_queue, "a compute queue");
  need(f.buffer_device_address, "bufferDeviceAddress");
  need(f.timeline_semaphore, "timelineSemaphore");
  need(f.synchronization2, "synchronization2");
  need(f.maintenance4, "maintenance4");
  need(f.scalar_block_layout, "scalarBlockLayout");
  need(f.shader_int64, "shaderInt64");
  need(f.subgroup_stages & VK_SHADER_STAGE_COMPUTE_BIT, "subgroup operations in compute shaders");
  need(f.subgroup_operations & VK_SUBGROUP_FEATURE_BASIC_BIT, "subgroup basic operations");
  need(f.subgroup_operations & VK_SUBGROUP_FEATURE_ARITHMETIC_BIT, "subgroup arithmetic");
  need(f.subgroup_operations & VK_SUBGROUP_FEATURE_SHUFFLE_BIT, "subgroup shuffle");
  need(f.subgroup_operations & VK_SUBGROUP_FEATURE_BALLOT_BIT, "subgroup ballot");
  return missing;
}

PhysicalDevice::PhysicalDevice(const InstanceTable& table, VkPhysicalDevice device) : fn(table), handle(device) {
  uint32_t n = 0;
  fn.vkEnumerateDeviceExtensionProperties(handle, nullptr, &n, nullptr);
  std::vector<VkExtensionProperties> properties(n);
  fn.vkEnumerateDeviceExtensionProperties(handle, nullptr, &n, properties.data());
  properties.resize(n);
  for (const VkExtensionProperties& p : properties) extensions.emplace_back(p.extensionName);
  fn.vkGetPhysicalDeviceQueueFamilyProperties(handle, &n, nullptr);
  queue_families.resize(n);
  fn.vkGetPhysicalDeviceQueueFamilyProperties(handle, &n, queue_families.data());
  fn.vkGetPhysicalDeviceMemoryProperties(handle, &memory);

  v11.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_1_PROPERTIES;
  v12.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_2_PROPERTIES;
  v13.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_3_PROPERTIES;
  matrix2.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_COOPERATIVE_MATRIX_2_PROPERTIES_NV;
  f11.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_1_FEATURES;
  f12.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_2_FEATURES;
  f13.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_3_FEATURES;
  cooperative_matrix.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_COOPERATIVE_MATRIX_FEATURES_KHR;
  cooperative_matrix2.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_COOPERATIVE_MATRIX_2_FEATURES_NV;
  executable.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PIPELINE_EXECUTABLE_PROPERTIES_FEATURES_KHR;

  fn.vkGetPhysicalDeviceProperties(handle, &base.properties);
  if (base.properties.apiVersion < VK_API_VERSION_1_3) return;  // it does not know the structures below
  base.pNext = &v11, v11.pNext = &v12, v12.pNext = &v13;
  if (has_extension(VK_NV_COOPERATIVE_MATRIX_2_EXTENSION_NAME)) v13.pNext = &matrix2;
  fn.vkGetPhysicalDeviceProperties2(handle, &base);

  f10.pNext = &f11, f11.pNext = &f12, f12.pNext = &f13;
  void** tail = &f13.pNext;
  if (has_extension(VK_KHR_COOPERATIVE_MATRIX_EXTENSION_NAME)) *tail = &cooperative_matrix, tail = &cooperative_matrix.pNext;
  if (has_extension(VK_NV_COOPERATIVE_MATRIX_2_EXTENSION_NAME))
    *tail = &cooperative_matrix2, tail = &cooperative_matrix2.pNext;
  if (has_extension(VK_KHR_PIPELINE_EXECUTABLE_PROPERTIES_EXTENSION_NAME)) *tail = &executable;
  fn.vkGetPhysicalDeviceFeatures2(handle, &f10);
}

bool PhysicalDevice::has_extension(std::string_view name) const {
  return std::find(extensions.begin(), extensions.end(), name) != extensions.end();
}

DeviceFeatures PhysicalDevice::features() const {
  DeviceFeatures f;
  f.api_version = base.properties.apiVersion;
  f.buffer_device_address = f12.bufferDeviceAddress;
  f.timeline_semaphore = f12.timelineSemaphore;
  f.scalar_block_layout = f12.scalarBlockLayout;
  f.synchronization2 = f13.synchronization2;
  f.maintenance4 = f13.maintenance4;
  f.shader_int64 = f10.features.shaderInt64;
  f.compute_queue = compute_family().has_value();
  f.subgroup_stages = v11.subgroupSupportedStages;
  f.subgroup_operations = v11.subgroupSupportedOperations;
  return f;
}

std::optional<uint32_t> PhysicalDevice::compute_family() const {
  std::optional<uint32_t> any;
  for (uint32_t i = 0; i < queue_families.size(); ++i) {
    const VkQueueFamilyProperties& family = queue_families[i];
    if (!(family.queueFlags & VK_QUEUE_COMPUTE_BIT)) continue;
    if (!(family.queueFlags & VK_QUEUE_GRAPHICS_BIT) && family.timestampValidBits > 0) return i;
    if (!any) any = i;
  }
  return any;
}

std::optional<uint32_t> PhysicalDevice::transfer_family() const {
  for (uint32_t i = 0; i < queue_families.size(); ++i) {
    const VkQueueFlags flags = queue_families[i].queueFlags;
    const VkQueueFlags other =
        VK_QUEUE_GRAPHICS_BIT | VK_QUEUE_COMPUTE_BIT | VK_QUEUE_VIDEO_DECODE_BIT_KHR | VK_QUEUE_VIDEO_ENCODE_BIT_KHR;
    if ((flags & VK_QUEUE_TRANSFER_BIT) && !(flags & other)) return i;
  }
  return std::nullopt;
}

DeviceInfo describe(const PhysicalDevice& device) {
  const VkPhysicalDeviceProperties& p = device.base.properties;
  DeviceInfo info;
  info.name = p.deviceName;
  info.type = device_type(p.deviceType);
  info.vendor_id = p.vendorID, info.device_id = p.deviceID;
  info.api_version = p.apiVersion, info.driver_version = p.driverVersion;
  info.refusal = refusal(device.features());
  info.handle = device.handle;
  if (p.apiVersion >= VK_API_VERSION_1_3) {
    info.uuid = hex(device.v11.deviceUUID);
    info.driver_name = device.v12.driverName;
    info.driver_info = device.v12.driverInfo;
  }
  VkPhysicalDeviceMemoryBudgetPropertiesEXT budget{
      VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_MEMORY_BUDGET_PROPERTIES_EXT, nullptr, {}, {}};
  const bool has_budget = device.has_extension(VK_EXT_MEMORY_BUDGET_EXTENSION_NAME);
  if (has_budget) {
    VkPhysicalDeviceMemoryProperties2 memory{VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_MEMORY_PROPERTIES_2, &budget, {}};
    device.fn.vkGetPhysicalDeviceMemoryProperties2(device.handle, &memory);
  }
  for (uint32_t i = 0; i < device.memory.memoryHeapCount; ++i) {
    if (!(device.memory.memoryHeaps[i].flags & VK_MEMORY_HEAP_DEVICE_LOCAL_BIT)) continue;
    const uint64_t size = device.memory.memoryHeaps[i].size;
    info.device_memory += size;
    if (has_budget) info.available_memory += budget.heapBudget[i] - std::min(budget.heapBudget[i], budget.heapUsage[i]);
    else info.available_memory += size;
  }
  return info;
}

void put_in_order(std::vector<DeviceInfo>& devices) {
  std::stable_sort(devices.begin(), devices.end(),
                   [](const DeviceInfo& a, const DeviceInfo& b) { return rank(a.type) < rank(b.type); });
  for (uint32_t i = 0; i < devices.size(); ++i) devices[i].index = i;
}

Result<DeviceInfo> select_device(std::span<const DeviceInfo> devices, std::string_view selector) {
  if (devices.empty())
    return Error{
        ErrorCode::kNotFound,
        "no Vulkan device on this machine; install the driver of your GPU (Debian, Ubuntu: mesa-vulkan-drivers, which "
        "also has the software device lavapipe, or NVIDIA's own driver)"};
  if (selector.empty()) {
    std::string refusals;
    for (const DeviceInfo& d : devices) {
      if (d.refusal.empty()) return d;
      refusals += "; " + d.name + " " + d.refusal;
    }
    return Error{ErrorCode::kUnsupported, "no usable Vulkan device" + refusals};
  }

  const std::string wanted = lower(selector);
  const DeviceInfo* found = nullptr;
  if (wanted.size() <= 4 && std::all_of(wanted.begin(), wanted.end(), [](unsigned char c) { return std::isdigit(c); })) {
    const size_t index = std::stoul(wanted);
    if (index >= devices.size())
      return Error{ErrorCode::kNotFound,
                   "there is no device " + wanted + "; the last one is " + std::to_string(devices.size() - 1)};
    found = &devices[index];
  } else {
    std::string digits;
    std::copy_if(wanted.begin(), wanted.end(), std::back_inserter(digits), [](char c) { return c != '-'; });
    for (const DeviceInfo& d : devices)
      if (!d.uuid.empty() && d.uuid == digits) found = &d;
    for (const DeviceInfo& d : devices) {
      if (found != nullptr && found->uuid == digits) break;
      if (lower(d.name).find(wanted) == std::string::npos) continue;
      if (found != nullptr)
        return Error{ErrorCode::kInvalidArgument, "\"" + std::string(selector) + "\" is device " +
                                                      std::to_string(found->index) + " (" + found->name + ") and device " +
                                                      std::to_string(d.index) + " (" + d.name + "); name one by its number"};
      found = &d;
    }
    if (found == nullptr) {
      std::string names;
      for (const DeviceInfo& d : devices) names += (names.empty() ? "" : ", ") + d.name;
      return Error{ErrorCode::kNotFound, "no device is called \"" + std::string(selector) + "\"; there are: " + names};
    }
  }
  if (!found->refusal.empty()) return Error{ErrorCode::kUnsupported, found->name + " " + found->refusal};
  return *found;
}

}  // namespace lahar::gpu
