// The page pool of the KV cache as a grid.
#include <algorithm>
#include <cmath>
#include <cstdio>

#include "demo/state.h"

namespace lahar::demo {
namespace {

constexpr double kAge = 20;  // seconds

void draw_layer_choice(State& s) {
  const Loaded& loaded = *s.loaded;
  const auto name = [&](int layer) {
    if (layer < 0) return std::string("all layers");
    const lahar_layer_info& info = loaded.layers[static_cast<size_t>(layer)];
    std::string text =
        "layer " + std::to_string(layer) + ": " + std::to_string(info.kv_heads) + " x " + std::to_string(info.head_dim);
    if (info.window != 0) text += ", window " + std::to_string(info.window);
    return text;
  };
  ImGui::SetNextItemWidth(-1);
  if (!ImGui::BeginCombo("##layer", name(s.map_layer).c_str())) return;
  for (int layer = -1; layer < static_cast<int>(loaded.layers.size()); ++layer)
    if (ImGui::Selectable(name(layer).c_str(), layer == s.map_layer)) s.map_layer = layer;
  ImGui::EndCombo();
}

// Whether the chosen layer still looks at the page.
bool in_window(const State& s, const lahar_kv_page& page, uint32_t tokens) {
  if (s.map_layer < 0) return true;
  const uint32_t window = s.loaded->layers[static_cast<size_t>(s.map_layer)].window;
  return window == 0 || (page.index + 1) * s.loaded->info.page_tokens + window > tokens;
}

void draw_grid(State& s, uint32_t tokens) {
  const ImVec2 area = ImGui::GetContentRegionAvail(), origin = ImGui::GetCursorScreenPos();
  const size_t n = s.pages.size();
  if (n == 0 || area.x < 8 || area.y < 8) return;
  float cell = std::floor(std::sqrt(area.x * area.y / static_cast<float>(n)));
  cell = std::clamp(cell, 3.0f, ImGui::GetFontSize() * 1.6f);
  size_t columns = static_cast<size_t>(area.x / cell);
  while (cell > 3 && std::ceil(static_cast<float>(n) / static_cast<float>(columns)) * cell > area.y) {
    cell -= 1;
    columns = static_cast<size_t>(area.x / cell);
  }
  ImDrawList* draw = ImGui::GetWindowDrawList();
  draw->PushClipRect(origin, {origin.x + area.x, origin.y + area.y}, true);
  const float gap = cell > 6 ? 1.0f : 0.5f;
  for (size_t i = 0; i < n; ++i) {
    const KvCell& c = s.pages[i];
    const ImVec2 min{origin.x + static_cast<float>(i % columns) * cell, origin.y + static_cast<float>(i / columns) * cell};
    const ImVec2 max{min.x + cell - gap, min.y + cell - gap};
    draw->AddRectFilled(min, max, s.colors().fill);
    if (c.page.sequence < 0) {
      const auto left = static_cast<float>(1 - (s.now - c.freed) / KvCell::kFade);
      if (left > 0) draw->AddRectFilled(min, max, faded(s.colors().error, left * 0.8f));
      continue;
    }
    const float share = static_cast<float>(c.page.tokens) / static_cast<float>(s.loaded->info.page_tokens);
    const auto young = static_cast<float>(std::clamp(1 - (s.now - c.changed) / kAge, 0.0, 1.0));
    const ImU32 color = color_of(static_cast<size_t>(c.page.sequence), s.settings.dark, 0.45f + 0.55f * young);
    const float top = max.y - (max.y - min.y) * std::max(share, 0.08f);
    if (in_window(s, c.page, tokens)) draw->AddRectFilled({min.x, top}, max, color);
    else draw->AddRect(min, max, faded(color, 0.7f));
  }
  draw->PopClipRect();
  if (!ImGui::IsMouseHoveringRect(origin, {origin.x + area.x, origin.y + area.y}) || !ImGui::IsWindowHovered()) return;
  const ImVec2 mouse = ImGui::GetMousePos();
  const auto column = static_cast<size_t>((mouse.x - origin.x) / cell),
             row = static_cast<size_t>((mouse.y - origin.y) / cell);
  if (column >= columns || row * columns + column >= n) return;
  const lahar_kv_page& page = s.pages[row * columns + column].page;
  if (page.sequence < 0) ImGui::SetTooltip("page %zu: free", row * columns + column);
  else
    ImGui::SetTooltip("page %zu: sequence %d, tokens %u to %u (%u of %u)", row * columns + column, page.sequence,
                      page.index * s.loaded->info.page_tokens, page.index * s.loaded->info.page_tokens + page.tokens,
                      page.tokens, s.loaded->info.page_tokens);
}

}  // namespace

void draw_kv_map(State& s) {
  if (s.loaded == nullptr) {
    heading("KV cache", "", s.settings.dark);
    ImGui::TextDisabled("No model yet.");
    return;
  }
  uint32_t used = 0, tokens = 0;
  for (const KvCell& cell : s.pages)
    if (cell.page.sequence >= 0) ++used, tokens += cell.page.tokens;
  char numbers[96];
  std::snprintf(numbers, sizeof(numbers), "%u of %zu pages", used, s.pages.size());
  heading("KV cache", numbers, s.settings.dark);
  ImGui::PushTextWrapPos(0);
  ImGui::TextDisabled("%u of %u tokens, %s of %s", tokens, s.loaded->info.context,
                      bytes_text(static_cast<double>(used) * static_cast<double>(s.loaded->info.page_bytes)).c_str(),
                      bytes_text(static_cast<double>(s.loaded->info.kv_bytes)).c_str());
  ImGui::PopTextWrapPos();
  draw_layer_choice(s);
  draw_grid(s, tokens);
}

}  // namespace lahar::demo
