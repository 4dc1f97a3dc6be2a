// The whole interface: the bar at the top, the panels side by side or as tabs, the keys.
#pragma once

#include <string>
#include <vector>

#include "demo/state.h"

namespace lahar::demo {

// One frame's widgets, for all of ImGui's display.
void draw_app(State& state);

// Files that were dropped into the window: a model, or a conversation (.json).
void drop_files(State& state, const std::vector<std::string>& paths);

}  // namespace lahar::demo
