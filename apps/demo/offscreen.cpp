#include "demo/offscreen.h"

#include <cstring>

#define STB_IMAGE_WRITE_STATIC
#define STB_IMAGE_WRITE_IMPLEMENTATION
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wmissing-field-initializers"
#pragma GCC diagnostic ignored "-Wunused-function"
#include <stb_image_write.h>
#pragma GCC diagnostic pop

namespace lahar::demo {
namespace {

constexpr VkFormat kFormat = VK_FORMAT_R8G8B8A8_UNORM;

}  // namespace

VkRenderPass make_render_pass(VkDevice device, VkFormat format, VkImageLayout final) {
  VkAttachmentDescription color{};
  color.format = format;
  color.samples = VK_SAMPLE_COUNT_1_BIT;
  color.loadOp = VK_ATTACHMENT_LOAD_OP_CLEAR;
  color.storeOp = VK_ATTACHMENT_STORE_OP_STORE;
  color.stencilLoadOp = VK_ATTACHMENT_LOAD_OP_DONT_CARE;
  color.stencilStoreOp = VK_ATTACHMENT_STORE_OP_DONT_CARE;
  color.initialLayout = VK_IMAGE_LAYOUT_UNDEFINED;
  color.finalLayout = final;
  const VkAttachmentReference reference{0, VK_IMAGE_LAYOUT_COLOR_ATTACHMENT_OPTIMAL};
  VkSubpassDescription subpass{};
  subpass.pipelineBindPoint = VK_PIPELINE_BIND_POINT_GRAPHICS;
  subpass.colorAttachmentCount = 1;
  subpass.pColorAttachments = &reference;
  // The image's last use (being shown, or copied) before, and a copy after.
  VkSubpassDependency dependencies[2] = {};
  dependencies[0].srcSubpass = VK_SUBPASS_EXTERNAL;
  dependencies[0].srcStageMask = VK_PIPELINE_STAGE_COLOR_ATTACHMENT_OUTPUT_BIT | VK_PIPELINE_STAGE_TRANSFER_BIT;
  dependencies[0].srcAccessMask = VK_ACCESS_TRANSFER_READ_BIT;
  dependencies[0].dstStageMask = VK_PIPELINE_STAGE_COLOR_ATTACHMENT_OUTPUT_BIT;
  dependencies[0].dstAccessMask = VK_ACCESS_COLOR_ATTACHMENT_WRITE_BIT;
  dependencies[1].dstSubpass = VK_SUBPASS_EXTERNAL;
  dependencies[1].srcStageMask = VK_PIPELINE_STAGE_COLOR_ATTACHMENT_OUTPUT_BIT;
  dependencies[1].srcAccessMask = VK_ACCESS_COLOR_ATTACHMENT_WRITE_BIT;
  dependencies[1].dstStageMask = VK_PIPELINE_STAGE_TRANSFER_BIT;
  dependencies[1].dstAccessMask = VK_ACCESS_TRANSFER_READ_BIT;
  VkRenderPassCreateInfo info{VK_STRUCTURE_TYPE_RENDER_PASS_CREATE_INFO};
  info.attachmentCount = 1;
  info.pAttachments = &color;
  info.subpassCount = 1;
  info.pSubpasses = &subpass;
  info.dependencyCount = 2;
  info.pDependencies = dependencies;
  VkRenderPass pass = VK_NULL_HANDLE;
  check_vk(vkCreateRenderPass(device, &info, nullptr, &pass), "vkCreateRenderPass");
  return pass;
}

Offscreen::Offscreen(GpuContext& gpu, uint32_t width, uint32_t height) : gpu_(gpu), width_(width), height_(height) {
  pass_ = make_render_pass(gpu.device, kFormat, VK_IMAGE_LAYOUT_TRANSFER_SRC_OPTIMAL);
  VkCommandPoolCreateInfo pool{VK_STRUCTURE_TYPE_COMMAND_POOL_CREATE_INFO};
  pool.flags = VK_COMMAND_POOL_CREATE_RESET_COMMAND_BUFFER_BIT;
  pool.queueFamilyIndex = gpu.family;
  check_vk(vkCreateCommandPool(gpu.device, &pool, nullptr, &pool_), "vkCreateCommandPool");
  VkCommandBufferAllocateInfo allocate{VK_STRUCTURE_TYPE_COMMAND_BUFFER_ALLOCATE_INFO};
  allocate.commandPool = pool_;
  allocate.commandBufferCount = 1;
  check_vk(vkAllocateCommandBuffers(gpu.device, &allocate, &commands_), "vkAllocateCommandBuffers");
  const VkFenceCreateInfo fence{VK_STRUCTURE_TYPE_FENCE_CREATE_INFO};
  check_vk(vkCreateFence(gpu.device, &fence, nullptr, &fence_), "vkCreateFence");
  make_image();
}

Offscreen::~Offscreen() {
  destroy_image();
  vkDestroyFence(gpu_.device, fence_, nullptr);
  vkDestroyCommandPool(gpu_.device, pool_, nullptr);
  vkDestroyRenderPass(gpu_.device, pass_, nullptr);
}

void Offscreen::resize(uint32_t width, uint32_t height) {
  destroy_image();
  width_ = width, height_ = height;
  make_image();
}

void Offscreen::make_image() {
  if (width_ == 0 || height_ == 0) return;
  const VkDevice device = gpu_.device;
  VkImageCreateInfo image{VK_STRUCTURE_TYPE_IMAGE_CREATE_INFO};
  image.imageType = VK_IMAGE_TYPE_2D;
  image.format = kFormat;
  image.extent = {width_, height_, 1};
  image.mipLevels = image.arrayLayers = 1;
  image.samples = VK_SAMPLE_COUNT_1_BIT;
  image.usage = VK_IMAGE_USAGE_COLOR_ATTACHMENT_BIT | VK_IMAGE_USAGE_TRANSFER_SRC_BIT;
  check_vk(vkCreateImage(device, &image, nullptr, &image_), "vkCreateImage");
  VkMemoryRequirements needs;
  vkGetImageMemoryRequirements(device, image_, &needs);
  VkMemoryAllocateInfo allocate{VK_STRUCTURE_TYPE_MEMORY_ALLOCATE_INFO};
  allocate.allocationSize = needs.size;
  allocate.memoryTypeIndex = gpu_.memory_type(needs.memoryTypeBits, VK_MEMORY_PROPERTY_DEVICE_LOCAL_BIT);
  check_vk(vkAllocateMemory(device, &allocate, nullptr, &image_memory_), "vkAllocateMemory");
  check_vk(vkBindImageMemory(device, image_, image_memory_, 0), "vkBindImageMemory");
  VkImageViewCreateInfo view{VK_STRUCTURE_TYPE_IMAGE_VIEW_CREATE_INFO};
  view.image = image_;
  view.viewType = VK_IMAGE_VIEW_TYPE_2D;
  view.format = kFormat;
  view.subresourceRange = {VK_IMAGE_ASPECT_COLOR_BIT, 0, 1, 0, 1};
  check_vk(vkCreateImageView(device, &view, nullptr, &view_), "vkCreateImageView");
  VkFramebufferCreateInfo framebuffer{VK_STRUCTURE_TYPE_FRAMEBUFFER_CREATE_INFO};
  framebuffer.renderPass = pass_;
  framebuffer.attachmentCount = 1;
  framebuffer.pAttachments = &view_;
  framebuffer.width = width_, framebuffer.height = height_, framebuffer.layers = 1;
  check_vk(vkCreateFramebuffer(device, &framebuffer, nullptr, &framebuffer_), "vkCreateFramebuffer");

  VkBufferCreateInfo buffer{VK_STRUCTURE_TYPE_BUFFER_CREATE_INFO};
  buffer.size = uint64_t{width_} * height_ * 4;
  buffer.usage = VK_BUFFER_USAGE_TRANSFER_DST_BIT;
  check_vk(vkCreateBuffer(device, &buffer, nullptr, &buffer_), "vkCreateBuffer");
  vkGetBufferMemoryRequirements(device, buffer_, &needs);
  allocate.allocationSize = needs.size;
  allocate.memoryTypeIndex =
      gpu_.memory_type(needs.memoryTypeBits, VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT | VK_MEMORY_PROPERTY_HOST_COHERENT_BIT);
  check_vk(vkAllocateMemory(device, &allocate, nullptr, &buffer_memory_), "vkAllocateMemory");
  check_vk(vkBindBufferMemory(device, buffer_, buffer_memory_, 0), "vkBindBufferMemory");
  check_vk(vkMapMemory(device, buffer_memory_, 0, VK_WHOLE_SIZE, 0, &mapped_), "vkMapMemory");
}

void Offscreen::destroy_image() {
  vkDestroyFramebuffer(gpu_.device, framebuffer_, nullptr);
  vkDestroyImageView(gpu_.device, view_, nullptr);
  vkDestroyImage(gpu_.device, image_, nullptr);
  vkFreeMemory(gpu_.device, image_memory_, nullptr);
  vkDestroyBuffer(gpu_.device, buffer_, nullptr);
  vkFreeMemory(gpu_.device, buffer_memory_, nullptr);
  framebuffer_ = VK_NULL_HANDLE, view_ = VK_NULL_HANDLE, image_ = VK_NULL_HANDLE, buffer_ = VK_NULL_HANDLE;
  image_memory_ = buffer_memory_ = VK_NULL_HANDLE;
}

bool Offscreen::draw(const std::function<void(VkCommandBuffer)>& record) {
  if (width_ == 0 || height_ == 0) return false;
  VkCommandBufferBeginInfo begin{VK_STRUCTURE_TYPE_COMMAND_BUFFER_BEGIN_INFO};
  begin.flags = VK_COMMAND_BUFFER_USAGE_ONE_TIME_SUBMIT_BIT;
  check_vk(vkBeginCommandBuffer(commands_, &begin), "vkBeginCommandBuffer");
  const VkClearValue clear{};
  VkRenderPassBeginInfo pass{VK_STRUCTURE_TYPE_RENDER_PASS_BEGIN_INFO};
  pass.renderPass = pass_;
  pass.framebuffer = framebuffer_;
  pass.renderArea.extent = {width_, height_};
  pass.clearValueCount = 1;
  pass.pClearValues = &clear;
  vkCmdBeginRenderPass(commands_, &pass, VK_SUBPASS_CONTENTS_INLINE);
  record(commands_);
  vkCmdEndRenderPass(commands_);
  VkBufferImageCopy region{};
  region.imageSubresource = {VK_IMAGE_ASPECT_COLOR_BIT, 0, 0, 1};
  region.imageExtent = {width_, height_, 1};
  vkCmdCopyImageToBuffer(commands_, image_, VK_IMAGE_LAYOUT_TRANSFER_SRC_OPTIMAL, buffer_, 1, &region);
  VkMemoryBarrier to_host{VK_STRUCTURE_TYPE_MEMORY_BARRIER, nullptr, VK_ACCESS_TRANSFER_WRITE_BIT, VK_ACCESS_HOST_READ_BIT};
  vkCmdPipelineBarrier(commands_, VK_PIPELINE_STAGE_TRANSFER_BIT, VK_PIPELINE_STAGE_HOST_BIT, 0, 1, &to_host, 0, nullptr, 0,
                       nullptr);
  check_vk(vkEndCommandBuffer(commands_), "vkEndCommandBuffer");
  VkSubmitInfo submit{VK_STRUCTURE_TYPE_SUBMIT_INFO};
  submit.commandBufferCount = 1;
  submit.pCommandBuffers = &commands_;
  {
    const std::lock_guard lock(gpu_.queue_mutex);
    check_vk(vkQueueSubmit(gpu_.queue, 1, &submit, fence_), "vkQueueSubmit");
  }
  check_vk(vkWaitForFences(gpu_.device, 1, &fence_, VK_TRUE, UINT64_MAX), "vkWaitForFences");
  check_vk(vkResetFences(gpu_.device, 1, &fence_), "vkResetFences");
  return true;
}

std::vector<uint8_t> Offscreen::pixels() const {
  std::vector<uint8_t> pixels(uint64_t{width_} * height_ * 4);
  std::memcpy(pixels.data(), mapped_, pixels.size());
  for (size_t i = 3; i < pixels.size(); i += 4) pixels[i] = 255;
  return pixels;
}

bool Offscreen::write_png(const std::string& path) const {
  return stbi_write_png(path.c_str(), static_cast<int>(width_), static_cast<int>(height_), 4, pixels().data(),
                        static_cast<int>(width_ * 4)) != 0;
}

}  // namespace lahar::demo
