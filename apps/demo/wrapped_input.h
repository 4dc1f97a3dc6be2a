// Text to edit in several lines that wraps at words. Dear ImGui's own breaks only where the user does, so the text that it
// edits has soft breaks in it: a line break between two marks of no width. The text outside never has them.
#pragma once

#include <imgui.h>

#include <functional>
#include <string>
#include <string_view>

namespace lahar::demo {

// Text with soft breaks, and where the cursor is in it (bytes).
struct WrappedText {
  std::string text;
  size_t cursor = 0;
};
// Breaks lines anew that are wider than `width`, behind a space where there is one. A soft break that has been hurt was
// deleted by the user: the character on its other side goes. `advance`: of a character, in the unit of `width`.
WrappedText wrap(std::string_view edited, size_t cursor, float width, const std::function<float(uint32_t)>& advance);
std::string without_soft_breaks(std::string_view wrapped);

// The widget. `text` has no soft breaks, before and after. `typed`: characters that came past Dear ImGui, put in at the
// cursor and taken away. Returns true when Enter was pressed and `flags` ask for that.
bool wrapped_input(const char* id, std::string* text, ImVec2 size, std::string* typed, ImGuiInputTextFlags flags = 0);

}  // namespace lahar::demo
