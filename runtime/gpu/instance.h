// The Vulkan loader, opened at run time, and an instance. Shared by the devices opened from it.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "core/log.h"
#include "core/result.h"
#include "gpu/vulkan.h"

namespace lahar::gpu {

enum class DeviceType { kDiscrete, kIntegrated, kVirtual, kCpu, kOther };
std::string_view to_string(DeviceType type);

// What can be said of a physical device before it is opened.
struct DeviceInfo {
  uint32_t index = 0;  // as --device counts: discrete before integrated before virtual before CPU, then the driver's order
  std::string name;
  DeviceType type = DeviceType::kOther;
  std::string uuid;  // 32 hex digits
  uint32_t vendor_id = 0, device_id = 0;
  uint32_t api_version = 0, driver_version = 0;
  std::string driver_name, driver_info;
  uint64_t device_memory = 0;     // bytes of device-local heaps
  uint64_t available_memory = 0;  // of these, free now (VK_EXT_memory_budget), else device_memory
  std::string refusal;            // why Lahar cannot use it ("lacks bufferDeviceAddress"); empty when it can
  VkPhysicalDevice handle = VK_NULL_HANDLE;
};

// Validation on: LAHAR_VALIDATION=1 in the environment turns the Khronos layer on for programs that leave `validation`
// unset; LAHAR_VALIDATION=gpu adds GPU-assisted validation. Every message of the layer goes to the log as an error and
// counts. With validation on, or LAHAR_LABELS=1, objects and nodes carry their names for debuggers (RenderDoc and the like).
enum class Validation { kFromEnvironment, kOff, kOn, kGpuAssisted };

struct InstanceOptions {
  Validation validation = Validation::kFromEnvironment;
  Log log;
};

class Instance {
 public:
  // Errors: kNotFound (no Vulkan loader, with how to get one), kUnsupported (older than 1.3).
  static Result<std::shared_ptr<Instance>> create(InstanceOptions options);
  // An application's own instance (1.3 or newer), which must outlive the result and is not destroyed with it. `get` is the
  // loader's entry point; null: that of the system's loader. Its validation messages go where the application sends them.
  static Result<std::shared_ptr<Instance>> import(VkInstance instance, PFN_vkGetInstanceProcAddr get, Log log);
  ~Instance();
  Instance(const Instance&) = delete;
  Instance& operator=(const Instance&) = delete;

  // In --device order. Never fails: no device is an empty list.
  std::vector<DeviceInfo> devices() const;
  // selector: empty (the first usable one), an index, a UUID, or a part of a name (case does not matter).
  // Errors: kNotFound, kInvalidArgument (ambiguous), kUnsupported (refused, with the feature's name).
  Result<DeviceInfo> select(std::string_view selector) const;

  VkInstance handle() const { return handle_; }
  uint64_t validation_messages() const;  // how many the layer has reported so far
  const Log& log() const { return log_; }

 private:
  Instance() = default;
  struct State;
  std::unique_ptr<State> state_;
  VkInstance handle_ = VK_NULL_HANDLE;
  Log log_;
  friend class Device;
};

}  // namespace lahar::gpu
