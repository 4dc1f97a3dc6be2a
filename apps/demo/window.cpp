#include "demo/window.h"

#define GLFW_INCLUDE_VULKAN
#include <GLFW/glfw3.h>
#include <backends/imgui_impl_glfw.h>
#include <imgui_internal.h>

#include <algorithm>

#include "demo/app.h"
#include "demo/imgui_layer.h"
#include "demo/swapchain.h"

namespace lahar::demo {
namespace {

// Seconds between frames: while something moves (a little less than a frame of 60 Hz, so that the display's own beat
// decides), while nothing does, and for how long an event is followed by frames of the first kind.
constexpr double kFrame = 1.0 / 65, kIdleFrame = 0.1, kAfterEvent = 0.3;

struct Glfw {
  Glfw() {
    if (glfwInit() != GLFW_TRUE)
      throw std::runtime_error("there is no display to open a window on (--screenshot needs none)");
  }
  ~Glfw() { glfwTerminate(); }
};

struct CloseWindow {
  void operator()(GLFWwindow* window) const { glfwDestroyWindow(window); }
};
using Window = std::unique_ptr<GLFWwindow, CloseWindow>;

Window open_window(const WindowOptions& options) {
  if (glfwVulkanSupported() != GLFW_TRUE) throw std::runtime_error("this display has no Vulkan surfaces");
  glfwWindowHint(GLFW_CLIENT_API, GLFW_NO_API);
  glfwWindowHint(GLFW_SCALE_TO_MONITOR, GLFW_TRUE);
  GLFWwindow* window = glfwCreateWindow(options.width, options.height, "Lahar", nullptr, nullptr);
  if (window == nullptr) throw std::runtime_error("the window could not be opened");
  return Window(window);
}

std::vector<const char*> surface_extensions() {
  uint32_t n = 0;
  const char** names = glfwGetRequiredInstanceExtensions(&n);
  return {names, names + n};
}

VkSurfaceKHR make_surface(VkInstance instance, GLFWwindow* window) {
  VkSurfaceKHR surface = VK_NULL_HANDLE;
  check_vk(glfwCreateWindowSurface(instance, window, nullptr, &surface), "glfwCreateWindowSurface");
  return surface;
}

struct PlatformLayer {
  explicit PlatformLayer(GLFWwindow* window) { ImGui_ImplGlfw_InitForVulkan(window, true); }
  ~PlatformLayer() { ImGui_ImplGlfw_Shutdown(); }
};

float scale_of(GLFWwindow* window, const WindowOptions& options) {
  if (options.scale > 0) return options.scale;
  float x = 1, y = 1;
  glfwGetWindowContentScale(window, &x, &y);
  return std::clamp(x, 0.5f, 4.0f);
}

// Nothing of it can be seen. Without a window manager a window that is taken away is not iconified, only not mapped.
bool hidden(GLFWwindow* window) {
  return glfwGetWindowAttrib(window, GLFW_ICONIFIED) == GLFW_TRUE || glfwGetWindowAttrib(window, GLFW_VISIBLE) == GLFW_FALSE;
}

// Dear ImGui takes few events a frame, so that none that is short is missed: it may have some left.
bool input_waits() { return ImGui::GetCurrentContext()->InputEventsQueue.Size > 0; }

// Dear ImGui forgets with the focus where the pointer is, and when the pointer comes back it is told what was known before
// it left: without this a click that follows no movement goes nowhere.
void tell_where_pointer_is(GLFWwindow* window) {
  if (glfwGetWindowAttrib(window, GLFW_HOVERED) == GLFW_FALSE) return;
  double x = 0, y = 0;
  glfwGetCursorPos(window, &x, &y);
  ImGui_ImplGlfw_CursorPosCallback(window, x, y);
}

// Takes events in until a frame is due.
class Pace {
 public:
  void wait(bool moving) {
    for (;;) {
      const double now = glfwGetTime();
      const double due = last_ + (moving || now < event_ + kAfterEvent ? kFrame : kIdleFrame);
      if (now >= due) break;
      glfwWaitEventsTimeout(due - now);
      const double after = glfwGetTime();
      if (after < due) event_ = after;
    }
    glfwPollEvents();
    last_ = glfwGetTime();
  }

 private:
  double last_ = 0, event_ = 0;
};

}  // namespace

void run_window(std::shared_ptr<Runtime> runtime, const WindowOptions& options) {
  const Glfw glfw;
  const Window window = open_window(options);
  GpuContext gpu(*runtime, {surface_extensions(), options.device, true, options.validation});
  Swapchain canvas(gpu, make_surface(gpu.instance, window.get()), [&window]() -> VkExtent2D {
    int width = 0, height = 0;
    if (!hidden(window.get())) glfwGetFramebufferSize(window.get(), &width, &height);
    return {static_cast<uint32_t>(width), static_cast<uint32_t>(height)};
  });
  ImGuiLayer layer(gpu, canvas);
  Session session(runtime, {&gpu.for_engine, "", options.context, options.time_slice});
  State state(session);
  state.settings.dark = options.dark;
  state.settings.time_slice = options.time_slice;
  state.models = ModelList(options.list_file);
  state.input = state.wide.shown(options.prompt);
  glfwSetWindowUserPointer(window.get(), &state);
  glfwSetDropCallback(window.get(), [](GLFWwindow* w, int count, const char** paths) {
    drop_files(*static_cast<State*>(glfwGetWindowUserPointer(w)), {paths, paths + count});
  });
  const PlatformLayer platform(window.get());
  layer.share_clipboard(state.wide);
  glfwSetCharCallback(window.get(), [](GLFWwindow* w, unsigned c) {
    if (c <= 0xffff) return ImGui_ImplGlfw_CharCallback(w, c);
    State& s = *static_cast<State*>(glfwGetWindowUserPointer(w));
    std::string text;
    append_utf8(text, c);
    s.typed += s.wide.shown(text);
  });
  glfwSetCursorEnterCallback(window.get(), [](GLFWwindow* w, int entered) {
    ImGui_ImplGlfw_CursorEnterCallback(w, entered);
    if (entered == GLFW_TRUE) tell_where_pointer_is(w);
  });
  session.load(options.model);

  Pace pace;
  std::string title;
  double frame_seconds = 0;
  while (glfwWindowShouldClose(window.get()) == GLFW_FALSE) {
    pace.wait(state.moving() || input_waits());
    const double begin = glfwGetTime();
    ImGui_ImplGlfw_NewFrame();
    draw_frame(state, layer, {begin, frame_seconds}, scale_of(window.get(), options));
    if (std::string now = window_title(state); now != title) {
      title = std::move(now);
      glfwSetWindowTitle(window.get(), title.c_str());
    }
    if (!ImGui::IsMousePosValid()) tell_where_pointer_is(window.get());
    frame_seconds = glfwGetTime() - begin;
  }
}

}  // namespace lahar::demo
