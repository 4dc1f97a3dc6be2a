#include "demo/style.h"

#include <algorithm>
#include <cmath>
#include <cstdio>

namespace lahar::demo {

const Palette& palette(bool dark) {
  static const Palette kDark{IM_COL32(226, 228, 232, 255), IM_COL32(150, 156, 166, 255), IM_COL32(255, 140, 66, 255),
                             IM_COL32(255, 110, 100, 255), IM_COL32(70, 75, 84, 255),    IM_COL32(38, 41, 47, 255),
                             IM_COL32(92, 150, 240, 255),  IM_COL32(255, 140, 66, 255),  IM_COL32(120, 200, 140, 255),
                             IM_COL32(190, 140, 230, 255), IM_COL32(110, 116, 126, 255)};
  static const Palette kLight{IM_COL32(28, 30, 34, 255),   IM_COL32(96, 102, 112, 255),  IM_COL32(190, 78, 10, 255),
                              IM_COL32(190, 30, 30, 255),  IM_COL32(196, 200, 206, 255), IM_COL32(228, 230, 234, 255),
                              IM_COL32(50, 105, 200, 255), IM_COL32(214, 98, 24, 255),   IM_COL32(50, 140, 80, 255),
                              IM_COL32(140, 80, 190, 255), IM_COL32(140, 146, 156, 255)};
  return dark ? kDark : kLight;
}

void apply_style(bool dark, float scale) {
  ImGuiStyle style;
  if (dark) ImGui::StyleColorsDark(&style);
  else ImGui::StyleColorsLight(&style);
  style.WindowRounding = style.ChildRounding = style.PopupRounding = 6;
  style.FrameRounding = style.GrabRounding = 4;
  style.WindowPadding = {8, 8};
  style.FramePadding = {7, 4};
  style.ItemSpacing = {7, 5};
  style.ScrollbarSize = 11;
  style.WindowBorderSize = 0;
  style.ChildBorderSize = 1;
  const Palette& p = palette(dark);
  const auto set = [&](ImGuiCol which, ImU32 color) { style.Colors[which] = ImGui::ColorConvertU32ToFloat4(color); };
  set(ImGuiCol_Text, p.text);
  set(ImGuiCol_TextDisabled, p.dim);
  set(ImGuiCol_WindowBg, dark ? IM_COL32(20, 22, 26, 255) : IM_COL32(244, 245, 247, 255));
  set(ImGuiCol_ChildBg, dark ? IM_COL32(28, 30, 35, 255) : IM_COL32(255, 255, 255, 255));
  set(ImGuiCol_PopupBg, dark ? IM_COL32(36, 39, 45, 255) : IM_COL32(255, 255, 255, 255));
  set(ImGuiCol_Border, dark ? IM_COL32(54, 58, 66, 255) : IM_COL32(210, 214, 220, 255));
  set(ImGuiCol_FrameBg, dark ? IM_COL32(46, 50, 57, 255) : IM_COL32(232, 234, 238, 255));
  set(ImGuiCol_FrameBgHovered, dark ? IM_COL32(58, 63, 72, 255) : IM_COL32(220, 223, 229, 255));
  set(ImGuiCol_FrameBgActive, dark ? IM_COL32(66, 72, 82, 255) : IM_COL32(210, 214, 221, 255));
  set(ImGuiCol_Button, dark ? IM_COL32(54, 59, 68, 255) : IM_COL32(226, 229, 234, 255));
  set(ImGuiCol_ButtonHovered, dark ? IM_COL32(76, 83, 95, 255) : IM_COL32(208, 213, 221, 255));
  set(ImGuiCol_ButtonActive, faded(p.accent, 0.7f));
  set(ImGuiCol_Header, faded(p.accent, 0.25f));
  set(ImGuiCol_HeaderHovered, faded(p.accent, 0.35f));
  set(ImGuiCol_HeaderActive, faded(p.accent, 0.5f));
  set(ImGuiCol_SliderGrab, p.accent);
  set(ImGuiCol_SliderGrabActive, p.accent);
  set(ImGuiCol_CheckMark, p.accent);
  set(ImGuiCol_Tab, dark ? IM_COL32(40, 43, 50, 255) : IM_COL32(226, 229, 234, 255));
  set(ImGuiCol_TabHovered, faded(p.accent, 0.5f));
  set(ImGuiCol_TabActive, faded(p.accent, dark ? 0.4f : 0.3f));
  set(ImGuiCol_PlotHistogram, faded(p.accent, 0.45f));  // with text on it
  style.ScaleAllSizes(scale);
  ImGui::GetStyle() = style;
}

ImU32 faded(ImU32 color, float alpha) {
  const auto a = static_cast<ImU32>(std::clamp(alpha, 0.0f, 1.0f) * static_cast<float>(color >> IM_COL32_A_SHIFT & 0xff));
  return (color & ~IM_COL32_A_MASK) | a << IM_COL32_A_SHIFT;
}

ImU32 probability_color(float probability, bool dark) {
  const float p = std::clamp(probability, 0.0f, 1.0f);
  float r = 0, g = 0, b = 0;
  ImGui::ColorConvertHSVtoRGB(p * 0.36f, dark ? 0.75f : 0.45f, dark ? 0.55f : 0.97f, r, g, b);
  return ImGui::ColorConvertFloat4ToU32({r, g, b, dark ? 0.75f : 0.9f});
}

ImU32 color_of(size_t index, bool dark, float alpha) {
  float r = 0, g = 0, b = 0;
  const float hue = std::fmod(0.07f + 0.618034f * static_cast<float>(index), 1.0f);
  ImGui::ColorConvertHSVtoRGB(hue, dark ? 0.55f : 0.6f, dark ? 0.9f : 0.75f, r, g, b);
  return ImGui::ColorConvertFloat4ToU32({r, g, b, alpha});
}

std::string bytes_text(double bytes) {
  const char* units[] = {"B", "kB", "MB", "GB", "TB"};
  size_t unit = 0;
  while (bytes >= 1000 && unit + 1 < std::size(units)) bytes /= 1000, ++unit;
  char text[32];
  std::snprintf(text, sizeof(text), bytes < 10 && unit > 0 ? "%.1f %s" : "%.0f %s", bytes, units[unit]);
  return text;
}

void heading(const char* title, const std::string& right, bool dark) {
  ImGui::PushStyleColor(ImGuiCol_Text, palette(dark).accent);
  ImGui::TextUnformatted(title);
  ImGui::PopStyleColor();
  if (right.empty()) return;
  const float width = ImGui::CalcTextSize(right.c_str()).x;
  ImGui::SameLine();
  const float room = ImGui::GetContentRegionAvail().x;
  if (room < width) {
    ImGui::NewLine();
    return;
  }
  ImGui::SetCursorPosX(ImGui::GetCursorPosX() + room - width);
  ImGui::TextDisabled("%s", right.c_str());
}

}  // namespace lahar::demo
