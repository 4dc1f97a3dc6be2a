// lahar-demo: a chat that shows what goes on inside the engine, drawn on the device that the model runs on.
#include <CLI/CLI.hpp>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <thread>

#include "demo/stage.h"
#include "demo/window.h"

namespace lahar::demo {
namespace {

struct Options {
  WindowOptions window;
  std::string screenshot, record, theme = "dark";
  int frames = 60;
};

// Frames without a window: until `frames` after the first token, or after the start where there is no prompt.
class Clip {
 public:
  explicit Clip(const Options& options, std::shared_ptr<Runtime> runtime)
      : options_(options),
        stage_(std::move(runtime), {.width = static_cast<uint32_t>(options.window.width),
                                    .height = static_cast<uint32_t>(options.window.height),
                                    .scale = options.window.scale > 0 ? options.window.scale : 1,
                                    .dark = options.window.dark,
                                    .validation = options.window.validation,
                                    .device = options.window.device,
                                    .context = options.window.context,
                                    .time_slice = options.window.time_slice}) {}

  bool run() {
    stage_.session.load(options_.window.model);
    if (!options_.window.prompt.empty()) {
      if (!wait_for_model()) return false;
      for (int i = 0; i < kIdleFrames; ++i) idle_.add(shoot());
      stage_.state.input = stage_.state.wide.shown(options_.window.prompt);
      stage_.state.send();
      while (stage_.session.generating() && replied_tokens() == 0) shoot();
    }
    const auto start = std::chrono::steady_clock::now();
    for (int i = 0; i < options_.frames; ++i) {
      const bool streaming = stage_.session.generating();
      const float took = shoot();
      if (!streaming) continue;
      streaming_.add(took);
      streamed_seconds_ = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    }
    if (!options_.screenshot.empty() && !stage_.image.write_png(options_.screenshot)) {
      std::fprintf(stderr, "lahar-demo: cannot write %s\n", options_.screenshot.c_str());
      return false;
    }
    report();
    return !stage_.state.notice_is_error;
  }

 private:
  static constexpr int kIdleFrames = 60;
  static constexpr std::chrono::microseconds kBeat{16667};

  bool wait_for_model() {
    while (stage_.state.loaded == nullptr) {
      shoot();
      if (!stage_.state.notice_is_error) continue;
      std::fprintf(stderr, "lahar-demo: %s\n", stage_.state.notice.c_str());
      return false;
    }
    return true;
  }
  size_t replied_tokens() const {
    const Node* last = stage_.state.conversation.last();
    return last != nullptr && last->role == "assistant" ? last->tokens.size() : 0;
  }
  // Draws a frame in the beat of a display and, where a clip is recorded, keeps it. Milliseconds of drawing.
  float shoot() {
    std::this_thread::sleep_until(due_);
    due_ = std::chrono::steady_clock::now() + kBeat;
    const double seconds = stage_.frame();
    if (!options_.record.empty()) {
      char name[32];
      std::snprintf(name, sizeof(name), "frame-%05d.png", shot_++);
      stage_.image.write_png((std::filesystem::path(options_.record) / name).string());
    }
    return static_cast<float>(seconds * 1e3);
  }
  void report() const {
    if (options_.window.prompt.empty()) return;
    std::printf(
        "%s, %d x %d, time slice %.1f ms: frames take %.1f ms (95 of 100 at most %.1f) while tokens stream, %.1f a second; "
        "%.1f ms (%.1f) without\n",
        stage_.gpu.name.c_str(), options_.window.width, options_.window.height, stage_.state.settings.time_slice,
        streaming_.quantile(0.5), streaming_.quantile(0.95),
        streamed_seconds_ > 0 ? static_cast<double>(replied_tokens()) / streamed_seconds_ : 0, idle_.quantile(0.5),
        idle_.quantile(0.95));
  }

  const Options& options_;
  Stage stage_;
  Series idle_{1000}, streaming_{1000};
  double streamed_seconds_ = 0;  // since the first token
  std::chrono::steady_clock::time_point due_{};
  int shot_ = 0;
};

void add_options(CLI::App& app, Options& o) {
  app.add_option("model", o.window.model, "a GGUF file or a Hugging Face folder; without one the built-in model is used");
  app.add_option("--device", o.window.device, "number, UUID or part of a name, as lahar devices lists them");
  app.add_option("--context", o.window.context, "tokens");
  app.add_option("--prompt", o.window.prompt, "what to ask; in a window it is only filled in");
  app.add_option("--time-slice", o.window.time_slice, "milliseconds of the engine's pieces of work")
      ->check(CLI::Range(0.5, 16.0));
  app.add_option("--width", o.window.width)->check(CLI::Range(64, 16384));
  app.add_option("--height", o.window.height)->check(CLI::Range(64, 16384));
  app.add_option("--scale", o.window.scale, "of text and all else; 0: what the screen says")->check(CLI::Range(0.0, 4.0));
  app.add_option("--theme", o.theme)->check(CLI::IsMember({"dark", "light"}));
  app.add_option("--screenshot", o.screenshot, "draw without a window and write a PNG");
  app.add_option("--record", o.record, "draw without a window and write each frame into this folder");
  app.add_option("--frames", o.frames, "how many after the first token, or without a prompt after the start")
      ->check(CLI::Range(1, 100000));
  app.add_flag("--validation", o.window.validation, "with Vulkan's validation layer");
}

int run(const Options& options) {
  auto runtime = std::make_shared<Runtime>(
      [](LogLevel, std::string_view text) { std::fprintf(stderr, "%.*s\n", static_cast<int>(text.size()), text.data()); },
      LogLevel::kWarning);
  if (options.screenshot.empty() && options.record.empty()) {
    run_window(std::move(runtime), options.window);
    return 0;
  }
  if (!options.record.empty()) std::filesystem::create_directories(options.record);
  return Clip(options, std::move(runtime)).run() ? 0 : 1;
}

}  // namespace
}  // namespace lahar::demo

int main(int argc, char** argv) {
  using namespace lahar::demo;
  Options options;
  CLI::App app("A chat that shows what goes on inside the engine.", "lahar-demo");
  add_options(app, options);
  CLI11_PARSE(app, argc, argv);
  options.window.dark = options.theme == "dark";
  options.window.list_file = default_list_file().string();
  try {
    return run(options);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "lahar-demo: %s\n", error.what());
    return 1;
  }
}
