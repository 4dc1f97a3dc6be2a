// Colors and measures of the interface.
#pragma once

#include <imgui.h>

#include <string>

namespace lahar::demo {

struct Palette {
  ImU32 text, dim, accent, error, grid, fill;
  ImU32 weights, kv, scratch, window, other;  // of memory
};

// Sets ImGui's style. `scale`: pixels of the screen for one of the design's.
void apply_style(bool dark, float scale);
const Palette& palette(bool dark);

// From red (0) over amber to green (1), as a background of text.
ImU32 probability_color(float probability, bool dark);
// A color of its own for each of many things.
ImU32 color_of(size_t index, bool dark, float alpha = 1);
ImU32 faded(ImU32 color, float alpha);

// "1.5 GB", "320 MB", "17 kB"
std::string bytes_text(double bytes);

// A heading in the accent's color, with a line of numbers at the right where there is room.
void heading(const char* title, const std::string& right, bool dark);

}  // namespace lahar::demo
