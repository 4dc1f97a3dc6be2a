#include "demo/swapchain.h"

#include <algorithm>

namespace lahar::demo {
namespace {

VkSurfaceFormatKHR choose_format(VkPhysicalDevice device, VkSurfaceKHR surface) {
  uint32_t n = 0;
  vkGetPhysicalDeviceSurfaceFormatsKHR(device, surface, &n, nullptr);
  std::vector<VkSurfaceFormatKHR> formats(n);
  vkGetPhysicalDeviceSurfaceFormatsKHR(device, surface, &n, formats.data());
  if (formats.empty()) throw VulkanError("the window's surface has no formats");
  // The interface's colors are those of the screen already.
  for (const VkFormat wanted : {VK_FORMAT_B8G8R8A8_UNORM, VK_FORMAT_R8G8B8A8_UNORM})
    for (const VkSurfaceFormatKHR& format : formats)
      if (format.format == wanted) return format;
  return formats[0];
}

VkSemaphore make_semaphore(VkDevice device) {
  const VkSemaphoreCreateInfo info{VK_STRUCTURE_TYPE_SEMAPHORE_CREATE_INFO};
  VkSemaphore semaphore = VK_NULL_HANDLE;
  check_vk(vkCreateSemaphore(device, &info, nullptr, &semaphore), "vkCreateSemaphore");
  return semaphore;
}

}  // namespace

Swapchain::Swapchain(GpuContext& gpu, VkSurfaceKHR surface, Size size)
    : gpu_(gpu), surface_(surface), size_(std::move(size)) {
  VkBool32 shows = VK_FALSE;
  check_vk(vkGetPhysicalDeviceSurfaceSupportKHR(gpu.physical, gpu.family, surface, &shows),
           "vkGetPhysicalDeviceSurfaceSupportKHR");
  if (!shows) throw VulkanError(gpu.name + " cannot draw to this window");
  format_ = choose_format(gpu.physical, surface);
  pass_ = make_render_pass(gpu.device, format_.format, VK_IMAGE_LAYOUT_PRESENT_SRC_KHR);
  VkCommandPoolCreateInfo pool{VK_STRUCTURE_TYPE_COMMAND_POOL_CREATE_INFO};
  pool.flags = VK_COMMAND_POOL_CREATE_RESET_COMMAND_BUFFER_BIT;
  pool.queueFamilyIndex = gpu.family;
  check_vk(vkCreateCommandPool(gpu.device, &pool, nullptr, &pool_), "vkCreateCommandPool");
  for (Work& work : work_) {
    VkCommandBufferAllocateInfo allocate{VK_STRUCTURE_TYPE_COMMAND_BUFFER_ALLOCATE_INFO};
    allocate.commandPool = pool_;
    allocate.commandBufferCount = 1;
    check_vk(vkAllocateCommandBuffers(gpu.device, &allocate, &work.commands), "vkAllocateCommandBuffers");
    work.acquired = make_semaphore(gpu.device);
    VkFenceCreateInfo fence{VK_STRUCTURE_TYPE_FENCE_CREATE_INFO};
    fence.flags = VK_FENCE_CREATE_SIGNALED_BIT;
    check_vk(vkCreateFence(gpu.device, &fence, nullptr, &work.done), "vkCreateFence");
  }
}

Swapchain::~Swapchain() {
  {
    const std::lock_guard lock(gpu_.queue_mutex);
    vkDeviceWaitIdle(gpu_.device);
  }
  destroy_images();
  if (swapchain_ != VK_NULL_HANDLE) vkDestroySwapchainKHR(gpu_.device, swapchain_, nullptr);
  for (Work& work : work_) {
    vkDestroySemaphore(gpu_.device, work.acquired, nullptr);
    vkDestroyFence(gpu_.device, work.done, nullptr);
  }
  vkDestroyCommandPool(gpu_.device, pool_, nullptr);
  vkDestroyRenderPass(gpu_.device, pass_, nullptr);
  vkDestroySurfaceKHR(gpu_.instance, surface_, nullptr);
}

void Swapchain::destroy_images() {
  for (Image& image : frames_) {
    vkDestroyFramebuffer(gpu_.device, image.framebuffer, nullptr);
    vkDestroyImageView(gpu_.device, image.view, nullptr);
    vkDestroySemaphore(gpu_.device, image.drawn, nullptr);
  }
  frames_.clear();
}

bool Swapchain::make() {
  VkSurfaceCapabilitiesKHR caps;
  check_vk(vkGetPhysicalDeviceSurfaceCapabilitiesKHR(gpu_.physical, surface_, &caps), "reading the window's surface");
  extent_ = caps.currentExtent.width != UINT32_MAX ? caps.currentExtent : size_();
  extent_.width =
      std::clamp(extent_.width, caps.minImageExtent.width, std::max(caps.minImageExtent.width, caps.maxImageExtent.width));
  extent_.height = std::clamp(extent_.height, caps.minImageExtent.height,
                              std::max(caps.minImageExtent.height, caps.maxImageExtent.height));
  if (extent_.width == 0 || extent_.height == 0) return false;
  {
    const std::lock_guard lock(gpu_.queue_mutex);
    check_vk(vkDeviceWaitIdle(gpu_.device), "vkDeviceWaitIdle");
  }
  destroy_images();
  VkSwapchainCreateInfoKHR info{VK_STRUCTURE_TYPE_SWAPCHAIN_CREATE_INFO_KHR};
  info.surface = surface_;
  info.minImageCount = std::max(images(), caps.minImageCount);
  if (caps.maxImageCount != 0) info.minImageCount = std::min(info.minImageCount, caps.maxImageCount);
  info.imageFormat = format_.format;
  info.imageColorSpace = format_.colorSpace;
  info.imageExtent = extent_;
  info.imageArrayLayers = 1;
  info.imageUsage = VK_IMAGE_USAGE_COLOR_ATTACHMENT_BIT;
  info.preTransform = caps.currentTransform;
  info.compositeAlpha = (caps.supportedCompositeAlpha & VK_COMPOSITE_ALPHA_OPAQUE_BIT_KHR) != 0
                            ? VK_COMPOSITE_ALPHA_OPAQUE_BIT_KHR
                            : VK_COMPOSITE_ALPHA_INHERIT_BIT_KHR;
  info.presentMode = VK_PRESENT_MODE_FIFO_KHR;
  info.clipped = VK_TRUE;
  info.oldSwapchain = swapchain_;
  VkSwapchainKHR made = VK_NULL_HANDLE;
  check_vk(vkCreateSwapchainKHR(gpu_.device, &info, nullptr, &made), "vkCreateSwapchainKHR");
  if (swapchain_ != VK_NULL_HANDLE) vkDestroySwapchainKHR(gpu_.device, swapchain_, nullptr);
  swapchain_ = made;

  uint32_t n = 0;
  vkGetSwapchainImagesKHR(gpu_.device, swapchain_, &n, nullptr);
  std::vector<VkImage> handles(n);
  check_vk(vkGetSwapchainImagesKHR(gpu_.device, swapchain_, &n, handles.data()), "vkGetSwapchainImagesKHR");
  for (VkImage handle : handles) {
    Image& image = frames_.emplace_back();
    VkImageViewCreateInfo view{VK_STRUCTURE_TYPE_IMAGE_VIEW_CREATE_INFO};
    view.image = handle;
    view.viewType = VK_IMAGE_VIEW_TYPE_2D;
    view.format = format_.format;
    view.subresourceRange = {VK_IMAGE_ASPECT_COLOR_BIT, 0, 1, 0, 1};
    check_vk(vkCreateImageView(gpu_.device, &view, nullptr, &image.view), "vkCreateImageView");
    VkFramebufferCreateInfo framebuffer{VK_STRUCTURE_TYPE_FRAMEBUFFER_CREATE_INFO};
    framebuffer.renderPass = pass_;
    framebuffer.attachmentCount = 1;
    framebuffer.pAttachments = &image.view;
    framebuffer.width = extent_.width, framebuffer.height = extent_.height, framebuffer.layers = 1;
    check_vk(vkCreateFramebuffer(gpu_.device, &framebuffer, nullptr, &image.framebuffer), "vkCreateFramebuffer");
    image.drawn = make_semaphore(gpu_.device);
  }
  stale_ = false;
  return true;
}

bool Swapchain::draw(const std::function<void(VkCommandBuffer)>& record) {
  const VkExtent2D size = size_();
  if (size.width == 0 || size.height == 0) return false;
  if ((stale_ || size.width != extent_.width || size.height != extent_.height) && !make()) return false;
  const Work& work = work_[next_];
  check_vk(vkWaitForFences(gpu_.device, 1, &work.done, VK_TRUE, UINT64_MAX), "vkWaitForFences");
  uint32_t index = 0;
  // Not for ever: a compositor may keep the images of a window that nobody sees.
  const VkResult acquired =
      vkAcquireNextImageKHR(gpu_.device, swapchain_, kLongestWait, work.acquired, VK_NULL_HANDLE, &index);
  if (acquired == VK_TIMEOUT || acquired == VK_NOT_READY) return false;
  if (acquired == VK_ERROR_OUT_OF_DATE_KHR) {
    stale_ = true;
    return false;
  }
  check_vk(acquired, "vkAcquireNextImageKHR");
  check_vk(vkResetFences(gpu_.device, 1, &work.done), "vkResetFences");
  const Image& image = frames_[index];
  record_frame(work, image, record);

  const VkPipelineStageFlags stage = VK_PIPELINE_STAGE_COLOR_ATTACHMENT_OUTPUT_BIT;
  VkSubmitInfo submit{VK_STRUCTURE_TYPE_SUBMIT_INFO};
  submit.waitSemaphoreCount = submit.commandBufferCount = submit.signalSemaphoreCount = 1;
  submit.pWaitSemaphores = &work.acquired;
  submit.pWaitDstStageMask = &stage;
  submit.pCommandBuffers = &work.commands;
  submit.pSignalSemaphores = &image.drawn;
  VkPresentInfoKHR present{VK_STRUCTURE_TYPE_PRESENT_INFO_KHR};
  present.waitSemaphoreCount = present.swapchainCount = 1;
  present.pWaitSemaphores = &image.drawn;
  present.pSwapchains = &swapchain_;
  present.pImageIndices = &index;
  VkResult presented = VK_SUCCESS;
  {
    const std::lock_guard lock(gpu_.queue_mutex);
    check_vk(vkQueueSubmit(gpu_.queue, 1, &submit, work.done), "vkQueueSubmit");
    presented = vkQueuePresentKHR(gpu_.queue, &present);
  }
  if (presented == VK_ERROR_OUT_OF_DATE_KHR || presented == VK_SUBOPTIMAL_KHR) stale_ = true;
  else check_vk(presented, "vkQueuePresentKHR");
  next_ = (next_ + 1) % kUnderWay;
  return true;
}

void Swapchain::record_frame(const Work& work, const Image& image,
                             const std::function<void(VkCommandBuffer)>& record) const {
  VkCommandBufferBeginInfo begin{VK_STRUCTURE_TYPE_COMMAND_BUFFER_BEGIN_INFO};
  begin.flags = VK_COMMAND_BUFFER_USAGE_ONE_TIME_SUBMIT_BIT;
  check_vk(vkBeginCommandBuffer(work.commands, &begin), "vkBeginCommandBuffer");
  const VkClearValue clear{};
  VkRenderPassBeginInfo pass{VK_STRUCTURE_TYPE_RENDER_PASS_BEGIN_INFO};
  pass.renderPass = pass_;
  pass.framebuffer = image.framebuffer;
  pass.renderArea.extent = extent_;
  pass.clearValueCount = 1;
  pass.pClearValues = &clear;
  vkCmdBeginRenderPass(work.commands, &pass, VK_SUBPASS_CONTENTS_INLINE);
  record(work.commands);
  vkCmdEndRenderPass(work.commands);
  check_vk(vkEndCommandBuffer(work.commands), "vkEndCommandBuffer");
}

}  // namespace lahar::demo
