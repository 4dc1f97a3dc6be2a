// The application without a window: drawn into an image, fed with events by hand. For screenshots, clips and tests.
#pragma once

#include <chrono>
#include <memory>
#include <string>

#include "demo/app.h"
#include "demo/imgui_layer.h"
#include "demo/offscreen.h"

namespace lahar::demo {

struct StageOptions {
  uint32_t width = 1280, height = 800;
  float scale = 1;
  bool dark = true;
  bool validation = false;
  bool system_fonts = true;
  std::string device;
  uint32_t context = 0;
  float time_slice = 2;
  std::string list_file;  // of recent models; empty: none is kept
};

class Stage {
 public:
  Stage(std::shared_ptr<Runtime> runtime, const StageOptions& options);

  // One frame, drawn and waited for. Returns how long it took, in seconds.
  double frame();
  void resize(uint32_t width, uint32_t height);

  GpuContext gpu;
  Offscreen image;
  ImGuiLayer layer;
  Session session;
  State state;

 private:
  StageOptions options_;
  std::chrono::steady_clock::time_point start_, last_begin_;
  double took_ = 0;  // the last frame
};

}  // namespace lahar::demo
