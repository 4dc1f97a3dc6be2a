// What the interface is drawn on: an image (offscreen.cpp) or a window (swapchain.cpp).
#pragma once

#include <vulkan/vulkan.h>

#include <cstdint>
#include <functional>

#include "demo/gpu_context.h"

namespace lahar::demo {

class Canvas {
 public:
  virtual ~Canvas() = default;
  virtual VkRenderPass render_pass() const = 0;
  virtual uint32_t images() const = 0;        // at least 2
  virtual uint64_t memory_bytes() const = 0;  // of the device, about
  // Draws a frame: `record` is called inside the render pass. False where nothing could be drawn (no size); then it was not.
  virtual bool draw(const std::function<void(VkCommandBuffer)>& record) = 0;
};

// A render pass that clears and stores one color image and leaves it in `final`.
VkRenderPass make_render_pass(VkDevice device, VkFormat format, VkImageLayout final);

}  // namespace lahar::demo
