#include "demo/stage.h"

#include <algorithm>

namespace lahar::demo {

Stage::Stage(std::shared_ptr<Runtime> runtime, const StageOptions& options)
    : gpu(*runtime,
          {.instance_extensions = {}, .device = options.device, .swapchain = false, .validation = options.validation}),
      image(gpu, options.width, options.height),
      layer(gpu, image, options.system_fonts),
      session(runtime,
              {.vulkan = &gpu.for_engine, .device = "", .context = options.context, .time_slice = options.time_slice}),
      state(session),
      options_(options),
      start_(std::chrono::steady_clock::now()),
      last_begin_(start_) {
  state.settings.dark = options.dark;
  state.settings.time_slice = options.time_slice;
  state.models = ModelList(options.list_file);
  layer.share_clipboard(state.wide);
}

void Stage::resize(uint32_t width, uint32_t height) { image.resize(width, height); }

double Stage::frame() {
  const auto begin = std::chrono::steady_clock::now();
  ImGuiIO& io = ImGui::GetIO();
  io.DisplaySize = {static_cast<float>(image.width()), static_cast<float>(image.height())};
  io.DeltaTime = std::max(std::chrono::duration<float>(begin - last_begin_).count(), 1e-4f);
  last_begin_ = begin;
  draw_frame(state, layer, {std::chrono::duration<double>(begin - start_).count(), took_}, options_.scale);
  took_ = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  return took_;
}

}  // namespace lahar::demo
