// The application in a window (GLFW).
#pragma once

#include <memory>
#include <string>

#include "lahar/lahar.hpp"

namespace lahar::demo {

struct WindowOptions {
  int width = 1280, height = 800;
  float scale = 0;  // 0: what the screen says
  bool dark = true;
  bool validation = false;
  std::string device, model, prompt, list_file;
  uint32_t context = 0;
  float time_slice = 2;
};

// Until the window is closed. Throws where there is no display, or no device that can draw to it.
void run_window(std::shared_ptr<Runtime> runtime, const WindowOptions& options);

}  // namespace lahar::demo
