#include "demo/imgui_layer.h"

#include <backends/imgui_impl_vulkan.h>

#include "demo/style.h"
#include "demo/wrapped_input.h"

namespace lahar::demo {
namespace {

constexpr float kFontPixels = 15;

}  // namespace

ImGuiLayer::ImGuiLayer(GpuContext& gpu, Canvas& canvas, bool system_fonts)
    : fonts(system_fonts), gpu_(gpu), canvas_(canvas) {
  ImGui::CreateContext();
  ImGui::GetIO().IniFilename = nullptr;
  const VkDescriptorPoolSize size{VK_DESCRIPTOR_TYPE_COMBINED_IMAGE_SAMPLER, 8};
  VkDescriptorPoolCreateInfo pool{VK_STRUCTURE_TYPE_DESCRIPTOR_POOL_CREATE_INFO};
  pool.flags = VK_DESCRIPTOR_POOL_CREATE_FREE_DESCRIPTOR_SET_BIT;
  pool.maxSets = 8;
  pool.poolSizeCount = 1;
  pool.pPoolSizes = &size;
  check_vk(vkCreateDescriptorPool(gpu.device, &pool, nullptr, &pool_), "vkCreateDescriptorPool");
  ImGui_ImplVulkan_InitInfo info{};
  info.Instance = gpu.instance;
  info.PhysicalDevice = gpu.physical;
  info.Device = gpu.device;
  info.QueueFamily = gpu.family;
  info.Queue = gpu.queue;
  info.DescriptorPool = pool_;
  info.MinImageCount = 2;
  info.ImageCount = canvas.images();
  info.MSAASamples = VK_SAMPLE_COUNT_1_BIT;
  info.CheckVkResultFn = [](VkResult result) { check_vk(result, "drawing the interface"); };
  ImGui_ImplVulkan_Init(&info, canvas.render_pass());
}

ImGuiLayer::~ImGuiLayer() {
  {
    const std::lock_guard lock(gpu_.queue_mutex);
    vkDeviceWaitIdle(gpu_.device);
    ImGui_ImplVulkan_Shutdown();
  }
  vkDestroyDescriptorPool(gpu_.device, pool_, nullptr);
  ImGui::DestroyContext();
}

void ImGuiLayer::begin(bool dark, float scale) {
  if (dark != dark_ || scale != scale_) apply_style(dark, scale);
  dark_ = dark, scale_ = scale;
  fonts.set_pixels(kFontPixels * scale);
  if (fonts.due()) make_fonts();
  ImGui_ImplVulkan_NewFrame();
}

void ImGuiLayer::make_fonts() {
  fonts.build();
  const std::lock_guard lock(gpu_.queue_mutex);  // the backend submits, and waits for it
  check_vk(vkDeviceWaitIdle(gpu_.device), "vkDeviceWaitIdle");
  ImGui_ImplVulkan_DestroyFontsTexture();
  ImGui_ImplVulkan_CreateFontsTexture();
}

void ImGuiLayer::share_clipboard(WideText& wide) {
  ImGuiIO& io = ImGui::GetIO();
  clipboard_ = {&wide, io.GetClipboardTextFn, io.SetClipboardTextFn, io.ClipboardUserData, {}};
  io.ClipboardUserData = &clipboard_;
  io.GetClipboardTextFn = [](void* user) {
    auto& clipboard = *static_cast<Clipboard*>(user);
    const char* const text = clipboard.get(clipboard.user);
    clipboard.taken = clipboard.wide->shown(text != nullptr ? text : "");
    return clipboard.taken.c_str();
  };
  io.SetClipboardTextFn = [](void* user, const char* text) {
    auto& clipboard = *static_cast<Clipboard*>(user);
    clipboard.set(clipboard.user, clipboard.wide->original(without_soft_breaks(text)).c_str());
  };
}

bool ImGuiLayer::draw() {
  ImGui::Render();
  ImDrawData* const data = ImGui::GetDrawData();
  return canvas_.draw([data](VkCommandBuffer commands) { ImGui_ImplVulkan_RenderDrawData(data, commands); });
}

uint64_t ImGuiLayer::memory_bytes() const {
  const ImFontAtlas& atlas = *ImGui::GetIO().Fonts;
  uint64_t bytes = canvas_.memory_bytes() + uint64_t(atlas.TexWidth) * static_cast<uint64_t>(atlas.TexHeight) * 4;
  if (const ImDrawData* data = ImGui::GetDrawData(); data != nullptr)
    bytes += canvas_.images() * (static_cast<uint64_t>(data->TotalVtxCount) * sizeof(ImDrawVert) +
                                 static_cast<uint64_t>(data->TotalIdxCount) * sizeof(ImDrawIdx));
  return bytes;
}

}  // namespace lahar::demo
