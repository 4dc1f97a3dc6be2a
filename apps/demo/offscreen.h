// Draws into an image that can be read back.
#pragma once

#include <string>
#include <vector>

#include "demo/canvas.h"

namespace lahar::demo {

class Offscreen : public Canvas {
 public:
  Offscreen(GpuContext& gpu, uint32_t width, uint32_t height);
  ~Offscreen() override;

  VkRenderPass render_pass() const override { return pass_; }
  uint32_t images() const override { return 2; }
  uint64_t memory_bytes() const override { return 2 * uint64_t{width_} * height_ * 4; }
  bool draw(const std::function<void(VkCommandBuffer)>& record) override;  // and waits until it is done

  void resize(uint32_t width, uint32_t height);  // 0, 0: nothing is drawn, as in a window that is minimised
  uint32_t width() const { return width_; }
  uint32_t height() const { return height_; }
  std::vector<uint8_t> pixels() const;  // RGBA, of the last frame
  // False where the file cannot be written.
  bool write_png(const std::string& path) const;

 private:
  void make_image();
  void destroy_image();
  GpuContext& gpu_;
  uint32_t width_, height_;
  VkRenderPass pass_ = VK_NULL_HANDLE;
  VkCommandPool pool_ = VK_NULL_HANDLE;
  VkCommandBuffer commands_ = VK_NULL_HANDLE;
  VkFence fence_ = VK_NULL_HANDLE;
  VkImage image_ = VK_NULL_HANDLE;
  VkDeviceMemory image_memory_ = VK_NULL_HANDLE, buffer_memory_ = VK_NULL_HANDLE;
  VkImageView view_ = VK_NULL_HANDLE;
  VkFramebuffer framebuffer_ = VK_NULL_HANDLE;
  VkBuffer buffer_ = VK_NULL_HANDLE;
  void* mapped_ = nullptr;
};

}  // namespace lahar::demo
