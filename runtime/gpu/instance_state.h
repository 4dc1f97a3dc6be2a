// What is inside an Instance, for the files of this layer.
#pragma once

#include <atomic>

#include "core/log.h"
#include "gpu/instance.h"
#include "gpu/loader.h"

namespace lahar::gpu {

struct InstanceState {
  InstanceTable fn;
  Log log;
  std::atomic<uint64_t> messages{0};
  VkDebugUtilsMessengerEXT messenger = VK_NULL_HANDLE;
  bool borrowed = false;  // the VkInstance is an application's
  bool labels = false;    // names and labels are handed to the driver and its tools
};

struct Instance::State : InstanceState {};

}  // namespace lahar::gpu
