// The conversation and the line to write in.
#include <imgui.h>

#include "demo/state.h"
#include "demo/wrapped_input.h"

namespace lahar::demo {
namespace {

// "< 2/3 >" where a message has siblings.
void draw_branches(State& s, Node* node) {
  const size_t n = node->parent->children.size();
  if (n < 2) return;
  ImGui::SameLine();
  if (ImGui::SmallButton("<")) s.conversation.turn(node, -1);
  ImGui::SameLine(0, 3);
  ImGui::TextDisabled("%zu/%zu", node->parent->chosen + 1, n);
  ImGui::SameLine(0, 3);
  if (ImGui::SmallButton(">")) s.conversation.turn(node, 1);
}

void draw_editor(State& s, Node* node) {
  const float height = ImGui::GetTextLineHeight() * 4 + ImGui::GetStyle().FramePadding.y * 2;
  wrapped_input("##edit", &s.edit_text, {ImGui::GetContentRegionAvail().x, height}, &s.typed);
  if (ImGui::Button("Save and ask")) {
    s.editing = nullptr;
    s.edit(node, s.wide.original(s.edit_text));
  }
  s.mark("edit-save");
  ImGui::SameLine();
  if (ImGui::Button("Cancel")) s.editing = nullptr;
}

void draw_message(State& s, Node* node) {
  const bool user = node->role == "user", idle = !s.session.generating();
  ImGui::PushStyleColor(ImGuiCol_Text, user ? s.colors().weights : s.colors().accent);
  ImGui::TextUnformatted(user ? "You" : "Model");
  ImGui::PopStyleColor();
  draw_branches(s, node);
  ImGui::SameLine();
  if (ImGui::SmallButton("Copy")) ImGui::SetClipboardText(s.wide.shown(node->content).c_str());
  if (idle && user) {
    ImGui::SameLine();
    if (ImGui::SmallButton("Edit")) s.editing = node, s.edit_text = s.wide.shown(node->content);
    s.mark("edit");
  }
  if (idle && !user) {
    ImGui::SameLine();
    if (ImGui::SmallButton("Again")) s.ask_again(node);
    s.mark("again");
  }
  if (s.editing == node) return draw_editor(s, node);
  ImGui::PushTextWrapPos(0);
  if (node == s.streaming && node->content.empty()) ImGui::TextDisabled("...");
  else ImGui::TextUnformatted(s.wide.shown(node->content).c_str());
  ImGui::PopTextWrapPos();
  ImGui::Spacing();
}

void draw_messages(State& s) {
  const std::vector<Node*> path = s.conversation.path();
  if (path.empty()) {
    ImGui::PushTextWrapPos(0);
    if (s.loaded == nullptr) ImGui::TextDisabled(s.session.progress().loading ? "Loading a model..." : "There is no model.");
    else
      ImGui::TextDisabled(
          "Ask something. Enter sends, Shift-Enter breaks the line, Esc stops, Ctrl-L clears. A GGUF file or a "
          "folder can be dropped here.");
    ImGui::PopTextWrapPos();
  }
  for (Node* node : path) {
    ImGui::PushID(node);
    draw_message(s, node);
    ImGui::PopID();
  }
  const bool at_end = ImGui::GetScrollY() >= ImGui::GetScrollMaxY() - ImGui::GetTextLineHeight();
  if (s.scroll_down || (s.session.generating() && at_end)) ImGui::SetScrollHereY(1);
  s.scroll_down = false;
}

void draw_input(State& s, float height) {
  const float button = ImGui::CalcTextSize("Send").x + ImGui::GetStyle().FramePadding.x * 4;
  const float gap = ImGui::GetStyle().ItemSpacing.x;
  if (s.focus_input && s.editing == nullptr) ImGui::SetKeyboardFocusHere();
  // Enter alone sends, with Shift it is a new line.
  ImGuiInputTextFlags flags = ImGuiInputTextFlags_EnterReturnsTrue;
  if (!ImGui::GetIO().KeyShift) flags |= ImGuiInputTextFlags_CtrlEnterForNewLine;
  const float width = std::max(ImGui::GetContentRegionAvail().x - button - gap, 20.0f);
  const bool entered = wrapped_input("##input", &s.input, {width, height}, &s.typed, flags);
  if (ImGui::IsItemActive()) s.focus_input = false;
  s.mark("input");
  ImGui::SameLine();
  if (s.session.generating()) {
    if (ImGui::Button("Stop", {button, height})) s.stop();
    s.mark("stop");
    return;
  }
  ImGui::BeginDisabled(s.loaded == nullptr || s.input.empty());
  const bool pressed = ImGui::Button("Send", {button, height});
  s.mark("send");
  ImGui::EndDisabled();
  if (entered || pressed) {
    s.send();
    s.focus_input = true;
  }
}

}  // namespace

void draw_chat(State& s) {
  const float lines = ImGui::GetContentRegionAvail().y > ImGui::GetTextLineHeight() * 16 ? 3.0f : 1.0f;
  const float height = ImGui::GetTextLineHeight() * lines + ImGui::GetStyle().FramePadding.y * 2;
  const float above = ImGui::GetContentRegionAvail().y - height - ImGui::GetStyle().ItemSpacing.y;
  ImGui::PushStyleVar(ImGuiStyleVar_ChildBorderSize, 0);
  ImGui::BeginChild("messages", {0, std::max(above, ImGui::GetTextLineHeight())});
  draw_messages(s);
  ImGui::EndChild();
  ImGui::PopStyleVar();
  draw_input(s, height);
}

}  // namespace lahar::demo
