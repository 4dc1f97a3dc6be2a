// What opens from the bar at the top: models, settings, the conversation's file.
#include <imgui.h>
#include <imgui_stdlib.h>

#include "demo/state.h"
#include "demo/wrapped_input.h"

namespace lahar::demo {
namespace {

float menu_width() { return std::min(ImGui::GetFontSize() * 24, ImGui::GetIO().DisplaySize.x * 0.85f); }

// A path that is typed, with a button. True where it is to be used.
bool path_line(const char* id, const char* hint, std::string* path, const char* button) {
  const ImGuiStyle& style = ImGui::GetStyle();
  const float width = ImGui::CalcTextSize(button).x + style.FramePadding.x * 2 + style.ItemSpacing.x;
  ImGui::PushID(id);
  ImGui::SetNextItemWidth(std::max(menu_width() - width, 60.0f));
  bool chosen = ImGui::InputTextWithHint("##path", hint, path, ImGuiInputTextFlags_EnterReturnsTrue);
  ImGui::SameLine();
  chosen = ImGui::Button(button) || chosen;
  ImGui::PopID();
  return chosen && !path->empty();
}

}  // namespace

void draw_model_menu(State& s) {
  const auto choose = [&](const std::string& model) {
    s.open_model(model);
    ImGui::CloseCurrentPopup();
  };
  if (ImGui::Selectable(model_name("").c_str(), s.loaded != nullptr && s.loaded->path.empty(), 0, {menu_width(), 0}))
    choose("");
  s.mark("model-builtin");
  for (const std::string& recent : std::vector<std::string>(s.models.recent())) {
    ImGui::PushID(recent.c_str());
    if (ImGui::Selectable(model_name(recent).c_str(), s.loaded != nullptr && s.loaded->path == recent)) choose(recent);
    if (ImGui::IsItemHovered()) ImGui::SetTooltip("%s", recent.c_str());
    ImGui::PopID();
  }
  ImGui::Separator();
  if (path_line("model", "path of a GGUF file or a folder", &s.model_path, "Open")) choose(s.model_path);
  ImGui::TextDisabled("or drop one into the window");
}

void draw_settings_menu(State& s) {
  Settings& settings = s.settings;
  const float width = menu_width();
  ImGui::TextDisabled("system prompt");
  std::string shown = s.wide.shown(s.conversation.system_prompt);
  wrapped_input("##system", &shown, {width, ImGui::GetTextLineHeight() * 4}, &s.typed);
  s.conversation.system_prompt = s.wide.original(shown);
  ImGui::Checkbox("Sampling as the model advises", &settings.model_sampling);
  ImGui::BeginDisabled(settings.model_sampling);
  const auto slider = [&](const char* name, const auto& draw) {
    ImGui::SetNextItemWidth(width * 0.6f);
    draw(name);
  };
  slider("temperature", [&](const char* n) { ImGui::SliderFloat(n, &settings.sampling.temperature, 0, 2, "%.2f"); });
  slider("top-k", [&](const char* n) {
    int k = static_cast<int>(settings.sampling.top_k);
    if (ImGui::SliderInt(n, &k, 0, 200, k == 0 ? "off" : "%d"))
      settings.sampling.top_k = static_cast<uint32_t>(std::max(k, 0));
  });
  slider("top-p", [&](const char* n) { ImGui::SliderFloat(n, &settings.sampling.top_p, 0.01f, 1, "%.2f"); });
  slider("min-p", [&](const char* n) { ImGui::SliderFloat(n, &settings.sampling.min_p, 0, 0.5f, "%.2f"); });
  ImGui::Checkbox("Always the same seed", &settings.fixed_seed);
  if (settings.fixed_seed)
    slider("seed", [&](const char* n) { ImGui::InputScalar(n, ImGuiDataType_U64, &settings.sampling.seed); });
  ImGui::EndDisabled();
  slider("most tokens", [&](const char* n) {
    ImGui::SliderInt(n, &settings.max_tokens, 0, 2048, settings.max_tokens == 0 ? "no limit" : "%d");
  });
  ImGui::Separator();
  if (ImGui::Checkbox("Dark", &settings.dark)) {}
  slider("zoom", [&](const char* n) { ImGui::SliderFloat(n, &settings.zoom, 0.7f, 3, "%.1f"); });
}

void draw_conversation_menu(State& s) {
  std::string& path = s.file_path;
  if (ImGui::Selectable("New  (Ctrl-L)", false, 0, {menu_width(), 0})) s.clear();
  if (ImGui::Selectable("Copy all")) {
    std::string text;
    for (const Node* node : s.conversation.path())
      text += (node->role == "user" ? "You: " : "Model: ") + node->content + "\n\n";
    ImGui::SetClipboardText(s.wide.shown(text).c_str());
  }
  ImGui::Separator();
  ImGui::SetNextItemWidth(menu_width());
  ImGui::InputText("##file", &path);
  if (ImGui::Button("Save  (Ctrl-S)") && !path.empty()) {
    s.save(path);
    ImGui::CloseCurrentPopup();
  }
  ImGui::SameLine();
  if (ImGui::Button("Load") && !path.empty()) {
    s.open_conversation(path);
    ImGui::CloseCurrentPopup();
  }
}

}  // namespace lahar::demo
