#include "demo/app.h"

#include <algorithm>
#include <cstdio>

namespace lahar::demo {
namespace {

struct Panel {
  const char* name;
  void (*draw)(State&);
};
constexpr Panel kChat{"Chat", draw_chat}, kTokens{"Tokens", draw_tokens}, kMap{"KV cache", draw_kv_map},
    kTimeline{"Last step", draw_timeline}, kMeters{"Meters", draw_meters};

void draw_panel(State& s, const Panel& panel, ImVec2 size) {
  ImGui::BeginChild(panel.name, size, true);
  panel.draw(s);
  ImGui::EndChild();
}

// A button of the bar that opens a menu under it.
void menu_button(State& s, const char* label, const char* id, void (*draw)(State&)) {
  if (ImGui::Button(label)) ImGui::OpenPopup(id);
  s.mark(id);
  const ImVec2 under{ImGui::GetItemRectMin().x, ImGui::GetItemRectMax().y + 2};
  ImGui::SetNextWindowPos(under, ImGuiCond_Appearing);
  if (!ImGui::BeginPopup(id)) return;
  draw(s);
  ImGui::EndPopup();
}

void draw_progress(State& s, const LoadProgress& progress) {
  const float share =
      progress.total > 0 ? static_cast<float>(static_cast<double>(progress.done) / static_cast<double>(progress.total)) : 0;
  const float cancel =
      ImGui::CalcTextSize("Cancel").x + ImGui::GetStyle().FramePadding.x * 2 + ImGui::GetStyle().ItemSpacing.x;
  char text[160];
  std::snprintf(text, sizeof(text), "Loading %s  %.0f %%", model_name(progress.path).c_str(), share * 100);
  ImGui::ProgressBar(share, {std::max(ImGui::GetContentRegionAvail().x - cancel, 40.0f), 0}, "");
  const ImVec2 min = ImGui::GetItemRectMin(), max = ImGui::GetItemRectMax(), size = ImGui::CalcTextSize(text);
  ImDrawList* draw = ImGui::GetWindowDrawList();
  draw->PushClipRect(min, max, true);
  draw->AddText({min.x + std::max(6.0f, (max.x - min.x - size.x) / 2), (min.y + max.y - size.y) / 2}, s.colors().text, text);
  draw->PopClipRect();
  ImGui::SameLine();
  if (ImGui::Button("Cancel")) s.session.cancel_load();
  s.mark("cancel-load");
}

void draw_notice(State& s) {
  ImGui::PushStyleColor(ImGuiCol_Text, s.notice_is_error ? s.colors().error : s.colors().dim);
  ImGui::PushTextWrapPos(ImGui::GetContentRegionMax().x - ImGui::GetFontSize() * 2);
  ImGui::TextUnformatted(s.notice.c_str());
  ImGui::PopTextWrapPos();
  ImGui::PopStyleColor();
  ImGui::SameLine(ImGui::GetContentRegionMax().x - ImGui::GetFontSize() * 1.5f);
  if (ImGui::SmallButton("x")) s.notice.clear();
}

void draw_bar(State& s) {
  const float em = ImGui::GetFontSize();
  std::string model = s.loaded == nullptr ? "no model" : model_name(s.loaded->path);
  if (model.size() > 34) model = model.substr(0, 31) + "...";
  menu_button(s, (model + "##model").c_str(), "models", draw_model_menu);
  ImGui::SameLine();
  menu_button(s, "Settings", "settings", draw_settings_menu);
  ImGui::SameLine();
  menu_button(s, "Conversation", "conversation", draw_conversation_menu);
  const LoadProgress progress = s.session.progress();
  if (progress.loading) {
    ImGui::SameLine();
    if (ImGui::GetContentRegionAvail().x < em * 16) ImGui::NewLine();
    draw_progress(s, progress);
  }
  if (!s.notice.empty()) draw_notice(s);
}

// Chat at the left; at the right tokens beside the map, the timeline, the meters.
void draw_side_by_side(State& s) {
  const float em = ImGui::GetFontSize();
  const ImVec2 area = ImGui::GetContentRegionAvail(), gap = ImGui::GetStyle().ItemSpacing;
  const float chat = std::clamp(area.x * 0.36f, em * 22, em * 44);
  const float right = area.x - chat - gap.x;
  const float meters = std::clamp(area.y * 0.31f, em * 15, em * 24);
  const float timeline = std::clamp(area.y * 0.27f, em * 12.5f, em * 17);
  const float top = area.y - meters - timeline - 2 * gap.y;
  draw_panel(s, kChat, {chat, area.y});
  ImGui::SameLine();
  ImGui::BeginGroup();
  const float map = std::clamp(right * 0.4f, em * 16, em * 40);
  draw_panel(s, kTokens, {right - map - gap.x, top});
  ImGui::SameLine();
  draw_panel(s, kMap, {map, top});
  draw_panel(s, kTimeline, {right, timeline});
  draw_panel(s, kMeters, {right, area.y - top - timeline - 2 * gap.y});
  ImGui::EndGroup();
}

void draw_as_tabs(State& s) {
  if (!ImGui::BeginTabBar("panels")) return;
  for (const Panel& panel : {kChat, kTokens, kMap, kTimeline, kMeters}) {
    if (!ImGui::BeginTabItem(panel.name)) continue;
    draw_panel(s, panel, {0, 0});
    ImGui::EndTabItem();
  }
  ImGui::EndTabBar();
}

void take_keys(State& s) {
  const ImGuiIO& io = ImGui::GetIO();
  if (ImGui::IsKeyPressed(ImGuiKey_Escape, false) && s.session.generating()) s.stop();
  if (io.KeyCtrl && ImGui::IsKeyPressed(ImGuiKey_L, false)) s.clear();
  if (io.KeyCtrl && ImGui::IsKeyPressed(ImGuiKey_S, false)) s.save(s.file_path);
}

}  // namespace

void draw_app(State& s) {
  s.spots.clear();
  take_keys(s);
  const ImVec2 size = ImGui::GetIO().DisplaySize;
  const float em = ImGui::GetFontSize();
  ImGui::SetNextWindowPos({0, 0});
  ImGui::SetNextWindowSize(size);
  ImGui::PushStyleVar(ImGuiStyleVar_WindowRounding, 0);
  ImGui::Begin("lahar", nullptr,
               ImGuiWindowFlags_NoDecoration | ImGuiWindowFlags_NoMove | ImGuiWindowFlags_NoSavedSettings |
                   ImGuiWindowFlags_NoBringToFrontOnFocus);
  ImGui::PopStyleVar();
  draw_bar(s);
  if (size.x >= em * 62 && size.y >= em * 42) draw_side_by_side(s);
  else draw_as_tabs(s);
  ImGui::End();
}

bool draw_frame(State& s, ImGuiLayer& layer, FrameTime time, float scale) {
  s.update(time.now, time.last);
  s.window_bytes = layer.memory_bytes();
  for (const Node* node : s.conversation.path()) layer.fonts.need(node->content);
  for (const std::string* text : {&s.input, &s.edit_text, &s.conversation.system_prompt, &s.notice}) layer.fonts.need(*text);
  layer.fonts.need(s.wide);
  layer.begin(s.settings.dark, scale * s.settings.zoom);
  ImGui::NewFrame();
  draw_app(s);
  s.typed.clear();
  return layer.draw();
}

std::string window_title(const State& s) {
  const LoadProgress progress = s.session.progress();
  std::string title = "Lahar: " + (progress.loading      ? "loading " + model_name(progress.path)
                                   : s.loaded != nullptr ? model_name(s.loaded->path)
                                                         : "no model");
  if (s.streaming != nullptr) title += ", writing";
  return title;
}

void drop_files(State& s, const std::vector<std::string>& paths) {
  if (paths.empty()) return;
  if (paths[0].ends_with(".json")) s.open_conversation(paths[0]);
  else s.open_model(paths[0]);
}

}  // namespace lahar::demo
