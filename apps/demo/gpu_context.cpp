#include "demo/gpu_context.h"

#include <algorithm>
#include <cstdio>
#include <cstring>

namespace lahar::demo {
namespace {

constexpr const char* kLayer = "VK_LAYER_KHRONOS_validation";

bool layer_is_there() {
  uint32_t n = 0;
  vkEnumerateInstanceLayerProperties(&n, nullptr);
  std::vector<VkLayerProperties> layers(n);
  vkEnumerateInstanceLayerProperties(&n, layers.data());
  return std::any_of(layers.begin(), layers.end(), [](const auto& l) { return std::strcmp(l.layerName, kLayer) == 0; });
}

bool instance_has(const char* extension) {
  uint32_t n = 0;
  vkEnumerateInstanceExtensionProperties(nullptr, &n, nullptr);
  std::vector<VkExtensionProperties> all(n);
  vkEnumerateInstanceExtensionProperties(nullptr, &n, all.data());
  return std::any_of(all.begin(), all.end(), [&](const auto& e) { return std::strcmp(e.extensionName, extension) == 0; });
}

std::string uuid_of(VkPhysicalDevice device) {
  VkPhysicalDeviceIDProperties id{VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_ID_PROPERTIES};
  VkPhysicalDeviceProperties2 properties{VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PROPERTIES_2, &id, {}};
  vkGetPhysicalDeviceProperties2(device, &properties);
  std::string uuid;
  char digits[3];
  for (const uint8_t byte : id.deviceUUID) {
    std::snprintf(digits, sizeof(digits), "%02x", byte);
    uuid += digits;
  }
  return uuid;
}

// The device that the library's own order and names give for a selector.
std::string wanted_uuid(const Runtime& runtime, const std::string& selector) {
  for (const Device& device : runtime.devices()) {
    if (!device.refusal.empty()) continue;
    if (selector.empty() || selector == std::to_string(device.index) || selector == device.uuid ||
        device.name.find(selector) != std::string::npos)
      return device.uuid;
  }
  throw VulkanError(selector.empty() ? "no usable Vulkan device on this machine"
                                     : "no usable device is called \"" + selector + "\"");
}

}  // namespace

VKAPI_ATTR VkBool32 VKAPI_CALL GpuContext::on_message(VkDebugUtilsMessageSeverityFlagBitsEXT,
                                                      VkDebugUtilsMessageTypeFlagsEXT,
                                                      const VkDebugUtilsMessengerCallbackDataEXT* data, void* user) {
  ++static_cast<GpuContext*>(user)->messages_;
  std::fprintf(stderr, "validation: %s\n", data->pMessage);
  return VK_FALSE;
}

GpuContext::GpuContext(const Runtime& runtime, const GpuOptions& options) {
  make_instance(options);
  choose_device(runtime, options.device);
  make_device(runtime, options.swapchain);
}

GpuContext::~GpuContext() {
  if (device != VK_NULL_HANDLE) {
    vkDeviceWaitIdle(device);
    vkDestroyDevice(device, nullptr);
  }
  if (messenger_ != VK_NULL_HANDLE) {
    const auto destroy = reinterpret_cast<PFN_vkDestroyDebugUtilsMessengerEXT>(
        vkGetInstanceProcAddr(instance, "vkDestroyDebugUtilsMessengerEXT"));
    destroy(instance, messenger_, nullptr);
  }
  if (instance != VK_NULL_HANDLE) vkDestroyInstance(instance, nullptr);
}

void GpuContext::make_instance(const GpuOptions& options) {
  VkApplicationInfo application{VK_STRUCTURE_TYPE_APPLICATION_INFO};
  application.pApplicationName = "lahar-demo";
  application.apiVersion = VK_API_VERSION_1_3;
  std::vector<const char*> extensions = options.instance_extensions;
  VkInstanceCreateInfo info{VK_STRUCTURE_TYPE_INSTANCE_CREATE_INFO};
  info.pApplicationInfo = &application;
  if (instance_has(VK_KHR_PORTABILITY_ENUMERATION_EXTENSION_NAME)) {
    extensions.push_back(VK_KHR_PORTABILITY_ENUMERATION_EXTENSION_NAME);
    info.flags |= VK_INSTANCE_CREATE_ENUMERATE_PORTABILITY_BIT_KHR;
  }
  VkDebugUtilsMessengerCreateInfoEXT messenger{VK_STRUCTURE_TYPE_DEBUG_UTILS_MESSENGER_CREATE_INFO_EXT};
  const bool validated = options.validation && layer_is_there();
  if (validated) {
    extensions.push_back(VK_EXT_DEBUG_UTILS_EXTENSION_NAME);
    info.enabledLayerCount = 1;
    info.ppEnabledLayerNames = &kLayer;
    messenger.messageSeverity =
        VK_DEBUG_UTILS_MESSAGE_SEVERITY_WARNING_BIT_EXT | VK_DEBUG_UTILS_MESSAGE_SEVERITY_ERROR_BIT_EXT;
    messenger.messageType = VK_DEBUG_UTILS_MESSAGE_TYPE_VALIDATION_BIT_EXT;
    messenger.pfnUserCallback = on_message;
    messenger.pUserData = this;
  }
  info.enabledExtensionCount = static_cast<uint32_t>(extensions.size());
  info.ppEnabledExtensionNames = extensions.data();
  check_vk(vkCreateInstance(&info, nullptr, &instance), "vkCreateInstance");
  if (!validated) return;
  const auto create = reinterpret_cast<PFN_vkCreateDebugUtilsMessengerEXT>(
      vkGetInstanceProcAddr(instance, "vkCreateDebugUtilsMessengerEXT"));
  check_vk(create(instance, &messenger, nullptr, &messenger_), "vkCreateDebugUtilsMessengerEXT");
}

void GpuContext::choose_device(const Runtime& runtime, const std::string& selector) {
  const std::string wanted = wanted_uuid(runtime, selector);
  uint32_t n = 0;
  check_vk(vkEnumeratePhysicalDevices(instance, &n, nullptr), "vkEnumeratePhysicalDevices");
  std::vector<VkPhysicalDevice> devices(n);
  check_vk(vkEnumeratePhysicalDevices(instance, &n, devices.data()), "vkEnumeratePhysicalDevices");
  for (VkPhysicalDevice candidate : devices)
    if (physical == VK_NULL_HANDLE && uuid_of(candidate) == wanted) physical = candidate;
  if (physical == VK_NULL_HANDLE) throw VulkanError("the device went away");
  VkPhysicalDeviceProperties properties;
  vkGetPhysicalDeviceProperties(physical, &properties);
  name = properties.deviceName;
}

void GpuContext::make_device(const Runtime& runtime, bool swapchain) {
  const auto get = reinterpret_cast<lahar_vulkan_function>(vkGetInstanceProcAddr);
  const lahar_vulkan_needs needs = runtime.vulkan_requirements(instance, physical, get);
  uint32_t n = 0;
  vkGetPhysicalDeviceQueueFamilyProperties(physical, &n, nullptr);
  std::vector<VkQueueFamilyProperties> families(n);
  vkGetPhysicalDeviceQueueFamilyProperties(physical, &n, families.data());
  family = n;
  for (uint32_t i = 0; i < n && family == n; ++i)
    if (families[i].queueFlags & VK_QUEUE_GRAPHICS_BIT) family = i;
  if (family == n) throw VulkanError(name + " cannot draw: it has no graphics queue");

  // The engine's queue: in a family without graphics, or a second one in the same, or the same.
  const bool apart = needs.queue_family != family;
  const bool second = !apart && families[family].queueCount > 1;
  own_compute_queue = apart || second;
  const float priorities[] = {1.0f, 0.2f};
  VkDeviceQueueCreateInfo queues[2] = {{VK_STRUCTURE_TYPE_DEVICE_QUEUE_CREATE_INFO},
                                       {VK_STRUCTURE_TYPE_DEVICE_QUEUE_CREATE_INFO}};
  queues[0].queueFamilyIndex = family;
  queues[0].queueCount = second ? 2 : 1;
  queues[0].pQueuePriorities = priorities;
  queues[1].queueFamilyIndex = needs.queue_family;
  queues[1].queueCount = 1;
  queues[1].pQueuePriorities = &priorities[1];
  std::vector<const char*> extensions(needs.extensions, needs.extensions + needs.extension_count);
  if (swapchain) extensions.push_back(VK_KHR_SWAPCHAIN_EXTENSION_NAME);
  VkDeviceCreateInfo info{VK_STRUCTURE_TYPE_DEVICE_CREATE_INFO, needs.features};
  info.queueCreateInfoCount = apart ? 2 : 1;
  info.pQueueCreateInfos = queues;
  info.enabledExtensionCount = static_cast<uint32_t>(extensions.size());
  info.ppEnabledExtensionNames = extensions.data();
  check_vk(vkCreateDevice(physical, &info, nullptr, &device), "vkCreateDevice");
  vkGetDeviceQueue(device, family, 0, &queue);

  VkQueue compute = queue;
  if (apart) vkGetDeviceQueue(device, needs.queue_family, 0, &compute);
  else if (second) vkGetDeviceQueue(device, family, 1, &compute);
  for_engine.instance = instance;
  for_engine.physical_device = physical;
  for_engine.device = device;
  for_engine.queue = compute;
  for_engine.queue_family = apart ? needs.queue_family : family;
  for_engine.get_instance_proc_addr = get;
  for_engine.queue_user = &queue_mutex;
  for_engine.lock_queue = [](void* user) { static_cast<std::mutex*>(user)->lock(); };
  for_engine.unlock_queue = [](void* user) { static_cast<std::mutex*>(user)->unlock(); };
}

uint32_t GpuContext::memory_type(uint32_t allowed, VkMemoryPropertyFlags wanted) const {
  VkPhysicalDeviceMemoryProperties memory;
  vkGetPhysicalDeviceMemoryProperties(physical, &memory);
  for (uint32_t i = 0; i < memory.memoryTypeCount; ++i)
    if ((allowed >> i & 1) && (memory.memoryTypes[i].propertyFlags & wanted) == wanted) return i;
  throw VulkanError("no memory of the kind that is needed");
}

}  // namespace lahar::demo
