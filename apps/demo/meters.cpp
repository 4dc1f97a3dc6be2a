// Speed, memory, processor and frame time.
#include <algorithm>
#include <cstdio>

#include "demo/state.h"

namespace lahar::demo {
namespace {

// A line over time from 0 to `top`, with `mark` as a level where it is not 0.
void draw_curve(const State& s, const Series& series, ImVec2 min, ImVec2 max, float top, float level, ImU32 color) {
  ImDrawList* draw = ImGui::GetWindowDrawList();
  draw->AddRectFilled(min, max, s.colors().fill, 3);
  const std::vector<float>& v = series.values();
  const auto y_of = [&](float value) { return max.y - 1 - (max.y - min.y - 2) * std::clamp(value / top, 0.0f, 1.0f); };
  if (level > 0 && level <= top) draw->AddLine({min.x, y_of(level)}, {max.x, y_of(level)}, s.colors().dim);
  if (v.size() == 1) draw->AddLine({min.x, y_of(v[0])}, {max.x, y_of(v[0])}, color, 1.5f);
  if (v.size() < 2) return;
  const float step = (max.x - min.x) / static_cast<float>(v.size() - 1);
  for (size_t i = 1; i < v.size(); ++i)
    draw->AddLine({min.x + step * static_cast<float>(i - 1), y_of(v[i - 1])},
                  {min.x + step * static_cast<float>(i), y_of(v[i])}, color, 1.5f);
}

// A label over a curve; fills the cell of a table.
void meter(const State& s, const char* name, const std::string& value, const Series& series, float top, float level,
           float height) {
  ImGui::TableNextColumn();
  ImGui::TextDisabled("%s", name);
  ImGui::TextUnformatted(value.c_str());
  const ImVec2 min = ImGui::GetCursorScreenPos();
  const float width = ImGui::GetContentRegionAvail().x;
  ImGui::Dummy({width, height});
  draw_curve(s, series, min, {min.x + width, min.y + height}, std::max(top, 1e-6f), level, s.colors().accent);
}

std::string format(const char* pattern, double a, double b = 0) {
  char text[96];
  std::snprintf(text, sizeof(text), pattern, a, b);
  return text;
}

void draw_curves(State& s, float height) {
  const float em = ImGui::GetFontSize();
  const int columns = std::clamp(static_cast<int>(ImGui::GetContentRegionAvail().x / (em * 9.5f)), 1, 5);
  if (!ImGui::BeginTable("curves", columns, ImGuiTableFlags_SizingStretchSame)) return;
  const double copy = s.session.copy_rate() / 1e9;
  meter(s, "tokens a second", format("%.1f", s.tokens_per_second.last()), s.tokens_per_second,
        s.tokens_per_second.largest() * 1.1f, 0, height);
  meter(s, "first token", format("%.0f ms", s.first_token.last()), s.first_token, s.first_token.largest() * 1.1f, 0, height);
  meter(s, "read by steps", format("%.2f of %.1f GB/s", s.bandwidth.last(), copy), s.bandwidth,
        std::max(static_cast<float>(copy), s.bandwidth.largest()) * 1.05f, static_cast<float>(copy), height);
  meter(s, "processor", format("%.0f %%", s.cpu.last()), s.cpu, std::max(100.0f, s.cpu.largest()), 100, height);
  meter(s, "frame, and 95 of 100", format("%.1f, %.1f ms", s.frame_ms.quantile(0.5), s.frame_ms.quantile(0.95)), s.frame_ms,
        std::max(33.4f, s.frame_ms.quantile(0.99) * 1.1f), 16.7f, height);
  ImGui::EndTable();
}

void draw_memory(State& s) {
  if (s.loaded == nullptr) return;
  struct Part {
    const char* name;
    double bytes;
    ImU32 color;
  };
  const lahar_engine_info& info = s.loaded->info;
  const auto known = static_cast<double>(info.weights_bytes + info.kv_bytes + info.scratch_bytes);
  const double other = std::max(0.0, static_cast<double>(s.memory.used) - known);
  const Part parts[] = {{"weights", static_cast<double>(info.weights_bytes), s.colors().weights},
                        {"KV", static_cast<double>(info.kv_bytes), s.colors().kv},
                        {"scratch", static_cast<double>(info.scratch_bytes), s.colors().scratch},
                        {"window", static_cast<double>(s.window_bytes), s.colors().window},
                        {"reserved", other, s.colors().other}};
  double total = 0;
  for (const Part& part : parts) total += part.bytes;
  const double budget = std::max(static_cast<double>(s.memory.budget), total);
  ImGui::TextDisabled("device memory");
  ImGui::SameLine();
  ImGui::Text("%s of %s", bytes_text(total).c_str(), bytes_text(budget).c_str());
  // The bar shows shares of what is used; the thin line under it, of the budget.
  const ImVec2 at = ImGui::GetCursorScreenPos();
  const float width = ImGui::GetContentRegionAvail().x, em = ImGui::GetFontSize();
  ImGui::Dummy({width, em * 0.95f});
  ImDrawList* draw = ImGui::GetWindowDrawList();
  float x = at.x;
  for (const Part& part : parts) {
    const float w = width * static_cast<float>(part.bytes / std::max(total, 1.0));
    draw->AddRectFilled({x, at.y}, {x + w, at.y + em * 0.6f}, part.color);
    x += w;
  }
  draw->AddRectFilled({at.x, at.y + em * 0.7f}, {at.x + width, at.y + em * 0.85f}, s.colors().fill);
  draw->AddRectFilled({at.x, at.y + em * 0.7f}, {at.x + width * static_cast<float>(total / budget), at.y + em * 0.85f},
                      s.colors().dim);
  float room = width;
  for (const Part& part : parts) {
    const std::string text = std::string(part.name) + " " + bytes_text(part.bytes);
    const float needs = ImGui::CalcTextSize(text.c_str()).x + em * 1.6f;
    if (room < width && room >= needs) ImGui::SameLine(0, em * 0.7f);
    else room = width;
    room -= needs + em * 0.1f;
    const ImVec2 spot = ImGui::GetCursorScreenPos();
    draw->AddRectFilled({spot.x, spot.y + em * 0.25f}, {spot.x + em * 0.6f, spot.y + em * 0.85f}, part.color, 2);
    ImGui::Dummy({em * 0.7f, 0});
    ImGui::SameLine(0, em * 0.1f);
    ImGui::TextUnformatted(text.c_str());
  }
}

}  // namespace

void draw_meters(State& s) {
  heading("Meters", s.loaded != nullptr ? s.loaded->info.device : "", s.settings.dark);
  const float em = ImGui::GetFontSize(), line = ImGui::GetTextLineHeightWithSpacing();
  const int columns = std::clamp(static_cast<int>(ImGui::GetContentRegionAvail().x / (em * 9.5f)), 1, 5);
  const int rows = (5 + columns - 1) / columns;
  const float fixed = line * 4.6f + static_cast<float>(rows) * 2.3f * line;
  const float height = std::clamp((ImGui::GetContentRegionAvail().y - fixed) / static_cast<float>(rows), em * 1.5f, em * 6);
  draw_curves(s, height);
  draw_memory(s);
  const char* label = "Time slice";
  ImGui::AlignTextToFramePadding();
  ImGui::TextUnformatted(label);
  ImGui::SameLine();
  ImGui::SetNextItemWidth(std::clamp(ImGui::GetContentRegionAvail().x - em * 5, em * 3, em * 18));
  if (ImGui::SliderFloat("##slice", &s.settings.time_slice, 0.5f, 16, "", ImGuiSliderFlags_Logarithmic))
    s.session.set_time_slice(s.settings.time_slice);
  s.mark("slice");
  if (ImGui::IsItemHovered())
    ImGui::SetTooltip(
        "The engine's work goes to the device in pieces of about so long.\nShorter ones leave smoother frames.");
  ImGui::SameLine();
  ImGui::Text("%.1f ms", s.settings.time_slice);
}

}  // namespace lahar::demo
