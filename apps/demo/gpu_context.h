// The application's Vulkan: an instance, a device that the engine shares, a queue to draw with and one for the engine.
#pragma once

#include <vulkan/vulkan.h>

#include <memory>
#include <mutex>
#include <stdexcept>
#include <string>
#include <vector>

#include "lahar/lahar.hpp"

namespace lahar::demo {

struct GpuOptions {
  std::vector<const char*> instance_extensions;  // of the window system
  std::string device;                            // number, UUID or part of a name; empty: the first
  bool swapchain = false;
  bool validation = false;  // the Khronos layer, where it is installed
};

// What failed in Vulkan.
class VulkanError : public std::runtime_error {
  using std::runtime_error::runtime_error;
};
inline void check_vk(VkResult result, const char* what) {
  if (result < 0) throw VulkanError(std::string(what) + " failed with VkResult " + std::to_string(result));
}

class GpuContext {
 public:
  // Throws VulkanError, lahar::Error.
  GpuContext(const Runtime& runtime, const GpuOptions& options);
  ~GpuContext();
  GpuContext(const GpuContext&) = delete;
  GpuContext& operator=(const GpuContext&) = delete;

  VkInstance instance = VK_NULL_HANDLE;
  VkPhysicalDevice physical = VK_NULL_HANDLE;
  VkDevice device = VK_NULL_HANDLE;
  uint32_t family = 0;             // of the queue that draws
  VkQueue queue = VK_NULL_HANDLE;  // draws and presents
  std::mutex queue_mutex;          // around every use of a queue, the engine's too
  bool own_compute_queue = false;  // the engine has one to itself
  std::string name;                // the device's
  lahar_vulkan_device for_engine = LAHAR_VULKAN_DEVICE_INIT;

  uint32_t memory_type(uint32_t allowed, VkMemoryPropertyFlags wanted) const;
  int validation_messages() const { return messages_; }

 private:
  void make_instance(const GpuOptions& options);
  void choose_device(const Runtime& runtime, const std::string& selector);
  void make_device(const Runtime& runtime, bool swapchain);
  static VKAPI_ATTR VkBool32 VKAPI_CALL on_message(VkDebugUtilsMessageSeverityFlagBitsEXT, VkDebugUtilsMessageTypeFlagsEXT,
                                                   const VkDebugUtilsMessengerCallbackDataEXT* data, void* user);
  VkDebugUtilsMessengerEXT messenger_ = VK_NULL_HANDLE;
  int messages_ = 0;
};

}  // namespace lahar::demo
