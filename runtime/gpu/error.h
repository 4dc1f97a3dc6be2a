// What a VkResult means to the caller.
#pragma once

#include <string_view>

#include "core/result.h"
#include "gpu/vulkan.h"

namespace lahar::gpu {

std::string_view to_string(VkResult result);

// "what: VK_ERROR_..."; kOutOfMemory, kDeviceLost, kUnsupported (a missing layer, extension or feature) or kInternal.
Error vk_error(VkResult result, std::string_view what);

}  // namespace lahar::gpu

// LAHAR_VK(call, what): returns the error of a Vulkan call from the enclosing function; other than VK_SUCCESS and the
// positive codes is an error.
#define LAHAR_VK(call, what)                                                                \
  do {                                                                                      \
    const VkResult lahar_vk_result = (call);                                                \
    if (lahar_vk_result < VK_SUCCESS) return ::lahar::gpu::vk_error(lahar_vk_result, what); \
  } while (false)
