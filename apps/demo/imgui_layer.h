// Dear ImGui on a canvas: its context, fonts and Vulkan backend.
#pragma once

#include <imgui.h>

#include <memory>

#include "demo/canvas.h"
#include "demo/fonts.h"

namespace lahar::demo {

class ImGuiLayer {
 public:
  ImGuiLayer(GpuContext& gpu, Canvas& canvas, bool system_fonts = true);
  ~ImGuiLayer();
  ImGuiLayer(const ImGuiLayer&) = delete;
  ImGuiLayer& operator=(const ImGuiLayer&) = delete;

  Fonts fonts;
  // The clipboard has text as it is, the interface as it is shown. `wide` outlives this; after the platform's part is there.
  void share_clipboard(WideText& wide);
  // Between the platform's part of a new frame and ImGui::NewFrame(): makes the fonts anew where they have changed.
  // `scale`: pixels of the screen for one of the design's.
  void begin(bool dark, float scale);
  // Draws what the frame's widgets have left. False where the canvas has no size.
  bool draw();
  uint64_t memory_bytes() const;  // of the device, about

 private:
  void make_fonts();
  GpuContext& gpu_;
  Canvas& canvas_;
  VkDescriptorPool pool_ = VK_NULL_HANDLE;
  bool dark_ = false;
  float scale_ = 0;
  struct Clipboard {
    WideText* wide = nullptr;
    const char* (*get)(void*) = nullptr;
    void (*set)(void*, const char*) = nullptr;
    void* user = nullptr;
    std::string taken;
  } clipboard_;
};

}  // namespace lahar::demo
