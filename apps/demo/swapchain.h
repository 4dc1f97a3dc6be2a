// Draws into a window's swapchain, which is made anew when the window changes.
#pragma once

#include <vector>

#include "demo/canvas.h"

namespace lahar::demo {

class Swapchain : public Canvas {
 public:
  // Takes the surface over. `size` tells the window's size in pixels; 0, 0 while it is minimised.
  using Size = std::function<VkExtent2D()>;
  Swapchain(GpuContext& gpu, VkSurfaceKHR surface, Size size);
  ~Swapchain() override;

  VkRenderPass render_pass() const override { return pass_; }
  uint32_t images() const override { return 3; }
  uint64_t memory_bytes() const override { return frames_.size() * uint64_t{extent_.width} * extent_.height * 4; }
  bool draw(const std::function<void(VkCommandBuffer)>& record) override;

 private:
  static constexpr size_t kUnderWay = 2;
  static constexpr uint64_t kLongestWait = 200'000'000;  // nanoseconds
  struct Image {
    VkImageView view = VK_NULL_HANDLE;
    VkFramebuffer framebuffer = VK_NULL_HANDLE;
    VkSemaphore drawn = VK_NULL_HANDLE;
  };
  struct Work {  // one of the frames under way
    VkCommandBuffer commands = VK_NULL_HANDLE;
    VkSemaphore acquired = VK_NULL_HANDLE;
    VkFence done = VK_NULL_HANDLE;
  };
  bool make();  // false where the window has no size
  void destroy_images();
  void record_frame(const Work& work, const Image& image, const std::function<void(VkCommandBuffer)>& record) const;

  GpuContext& gpu_;
  VkSurfaceKHR surface_;
  Size size_;
  VkSurfaceFormatKHR format_{};
  VkRenderPass pass_ = VK_NULL_HANDLE;
  VkCommandPool pool_ = VK_NULL_HANDLE;
  VkSwapchainKHR swapchain_ = VK_NULL_HANDLE;
  VkExtent2D extent_{};
  std::vector<Image> frames_;
  Work work_[kUnderWay];
  size_t next_ = 0;
  bool stale_ = true;
};

}  // namespace lahar::demo
