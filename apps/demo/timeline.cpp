// The kernels of one step, as the device timed them.
#include <algorithm>
#include <cstdio>
#include <string_view>

#include "demo/state.h"

namespace lahar::demo {
namespace {

struct Family {
  std::string_view name;
  double ns = 0;
  double bytes = 0;
};

// Ops of the same name, those that take longest first.
std::vector<Family> families_of(const Trace& trace) {
  std::vector<Family> families;
  for (const lahar_trace_node& node : trace.nodes) {
    auto found = std::find_if(families.begin(), families.end(), [&](const Family& f) { return f.name == node.label; });
    if (found == families.end()) found = families.insert(families.end(), {node.label});
    found->ns += node.duration_ns;
    found->bytes += static_cast<double>(node.bytes);
  }
  std::sort(families.begin(), families.end(), [](const Family& a, const Family& b) { return a.ns > b.ns; });
  return families;
}

size_t place_of(const std::vector<Family>& families, std::string_view name) {
  const auto found = std::find_if(families.begin(), families.end(), [&](const Family& f) { return f.name == name; });
  return static_cast<size_t>(found - families.begin());
}

void show_node(const lahar_trace_node& node) {
  ImGui::BeginTooltip();
  if (node.layer >= 0) ImGui::Text("layer %d: %s", node.layer, node.label);
  else ImGui::TextUnformatted(node.label);
  ImGui::TextDisabled("%s", node.kernel);
  ImGui::Text("%.1f us   %s   %.2f GB/s", node.duration_ns / 1e3, bytes_text(static_cast<double>(node.bytes)).c_str(),
              node.duration_ns > 0 ? static_cast<double>(node.bytes) / node.duration_ns : 0.0);
  ImGui::EndTooltip();
}

// Two lanes: the layers, and under them the ops.
void draw_lanes(State& s, const std::vector<Family>& families, double end) {
  const ImVec2 origin = ImGui::GetCursorScreenPos();
  const float em = ImGui::GetFontSize(), width = ImGui::GetContentRegionAvail().x;
  const float layer_height = em * 1.1f, op_height = em * 2.0f;
  ImGui::Dummy({width, layer_height + op_height + 3});
  s.mark("timeline");
  const bool hovered = ImGui::IsItemHovered();
  ImDrawList* draw = ImGui::GetWindowDrawList();
  const auto x_of = [&](double ns) { return origin.x + width * static_cast<float>(ns / end); };
  const float op_top = origin.y + layer_height + 2;
  draw->AddRectFilled(origin, {origin.x + width, op_top + op_height}, s.colors().fill);
  int layer = -2;
  double layer_begin = 0, layer_end = 0;
  const auto finish_layer = [&] {
    if (layer < 0) return;
    const ImVec2 min{x_of(layer_begin), origin.y},
        max{std::max(x_of(layer_end), x_of(layer_begin) + 1), origin.y + layer_height};
    draw->AddRectFilled(min, max, faded(s.colors().weights, layer % 2 == 0 ? 0.75f : 0.5f));
    const std::string name = std::to_string(layer);
    const ImVec2 size = ImGui::CalcTextSize(name.c_str());
    if (size.x + 4 < max.x - min.x)
      draw->AddText({(min.x + max.x - size.x) / 2, min.y + (layer_height - size.y) / 2}, s.colors().text, name.c_str());
  };
  for (const lahar_trace_node& node : s.trace.nodes) {
    if (node.layer != layer) {
      finish_layer();
      layer = node.layer, layer_begin = node.begin_ns;
    }
    layer_end = node.begin_ns + node.duration_ns;
    const ImVec2 min{x_of(node.begin_ns), op_top};
    const ImVec2 max{std::max(x_of(layer_end), min.x + 1), op_top + op_height};
    draw->AddRectFilled(min, max, color_of(place_of(families, node.label), s.settings.dark));
    if (hovered && ImGui::IsMouseHoveringRect(min, max)) {
      draw->AddRect(min, max, s.colors().text);
      show_node(node);
    }
  }
  finish_layer();
}

// The families with their share, in as many columns as fit.
void draw_families(State& s, const std::vector<Family>& families, double total) {
  const float em = ImGui::GetFontSize(), column = em * 11;
  const int columns = std::max(1, static_cast<int>(ImGui::GetContentRegionAvail().x / column));
  if (!ImGui::BeginTable("families", columns, ImGuiTableFlags_SizingStretchSame)) return;
  for (size_t i = 0; i < families.size(); ++i) {
    ImGui::TableNextColumn();
    const ImVec2 at = ImGui::GetCursorScreenPos();
    ImGui::GetWindowDrawList()->AddRectFilled({at.x, at.y + em * 0.2f}, {at.x + em * 0.7f, at.y + em * 0.9f},
                                              color_of(i, s.settings.dark), 2);
    ImGui::Dummy({em, 0});
    ImGui::SameLine(0, 0);
    const Family& f = families[i];
    ImGui::Text("%.*s", static_cast<int>(f.name.size()), f.name.data());
    ImGui::SameLine();
    ImGui::TextDisabled("%.0f %%", total > 0 ? f.ns / total * 100 : 0.0);
    if (ImGui::IsItemHovered() && f.ns > 0) ImGui::SetTooltip("%.1f us, %.2f GB/s", f.ns / 1e3, f.bytes / f.ns);
  }
  ImGui::EndTable();
}

}  // namespace

void draw_timeline(State& s) {
  double end = 0, total = 0;
  for (const lahar_trace_node& node : s.trace.nodes) {
    end = std::max(end, node.begin_ns + node.duration_ns);
    total += node.duration_ns;
  }
  char numbers[96] = "";
  if (s.trace.serial != 0)
    std::snprintf(numbers, sizeof(numbers), "%zu kernels, %.2f ms, %u tokens seen", s.trace.nodes.size(), total / 1e6,
                  s.trace.context);
  heading("Last step", numbers, s.settings.dark);
  if (s.trace.serial == 0) {
    ImGui::TextDisabled("Nothing has been generated yet.");
    return;
  }
  ImGui::Checkbox("Freeze", &s.frozen);
  s.mark("freeze");
  if (!s.trace.timed || end <= 0) {
    ImGui::TextDisabled("This device gives no timestamps.");
    return;
  }
  const std::vector<Family> families = families_of(s.trace);
  draw_lanes(s, families, end);
  draw_families(s, families, total);
}

}  // namespace lahar::demo
