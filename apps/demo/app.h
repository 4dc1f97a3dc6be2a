// The whole interface: the bar at the top, the panels side by side or as tabs, the keys.
#pragma once

#include <string>
#include <vector>

#include "demo/imgui_layer.h"
#include "demo/state.h"

namespace lahar::demo {

// One frame's widgets, for all of ImGui's display.
void draw_app(State& state);

struct FrameTime {
  double now = 0;   // seconds since the start
  double last = 0;  // how long the last frame took to draw
};
// A whole frame: what has happened since the last one, the widgets, the drawing. The platform's part of the new frame is
// done before. `scale`: pixels of the screen for one of the design's. False where the canvas has no size.
bool draw_frame(State& state, ImGuiLayer& layer, FrameTime time, float scale);

// What a window says of itself: the model, and what is going on.
std::string window_title(const State& state);

// Files that were dropped into the window: a model, or a conversation (.json).
void drop_files(State& state, const std::vector<std::string>& paths);

}  // namespace lahar::demo
