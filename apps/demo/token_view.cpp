// Each token of a reply on its probability's color; what else it could have been.
#include <cmath>
#include <cstdio>

#include "demo/state.h"

namespace lahar::demo {
namespace {

// Spaces and breaks made visible.
std::string shown(State& s, const std::string& text) {
  std::string out;
  for (const char c : s.wide.shown(text)) {
    if (c == '\n') out += "\\n";
    else if (c == '\t') out += "\\t";
    else out += c;
  }
  return out.empty() ? " " : out;
}

// The list of alternatives; returns the one that was clicked on, or null.
const Alternative* draw_alternatives(State& s, Node* reply, size_t index, bool clickable) {
  const TokenInfo& token = reply->tokens[index];
  const int32_t before = index > 0 ? reply->tokens[index - 1].id : -1;
  ImGui::Text("\"%s\"  %.2f %%   entropy %.2f bits", shown(s, token.text).c_str(), std::exp(token.logprob) * 100,
              token.entropy / std::log(2.0f));
  if (token.forced) ImGui::TextDisabled("chosen by hand");
  if (clickable) ImGui::TextDisabled("Click on one to continue from there.");
  const float line = ImGui::GetTextLineHeightWithSpacing(), em = ImGui::GetFontSize();
  const float room = ImGui::GetIO().DisplaySize.y * 0.8f - 3 * line;
  const size_t rows = std::min(token.alternatives.size(), static_cast<size_t>(std::max(room / line, 3.0f)));
  const Alternative* chosen = nullptr;
  for (size_t i = 0; i < rows; ++i) {
    const Alternative& a = token.alternatives[i];
    const float p = std::exp(a.logprob);
    const ImVec2 at = ImGui::GetCursorScreenPos();
    ImDrawList* draw = ImGui::GetWindowDrawList();
    draw->AddRectFilled(at, {at.x + em * 6 * p, at.y + ImGui::GetTextLineHeight()}, probability_color(p, s.settings.dark),
                        3);
    char label[160];
    std::snprintf(label, sizeof(label), "%6.2f %%   %s%s", p * 100, shown(s, s.session.piece(before, a.id)).c_str(),
                  a.id == token.id ? "   <" : "");
    ImGui::PushID(static_cast<int>(i));
    if (!clickable) ImGui::TextUnformatted(label);
    else if (ImGui::Selectable(label, a.id == token.id)) chosen = &a;
    if (clickable && i < 4) s.mark(("alternative" + std::to_string(i)).c_str());
    ImGui::PopID();
  }
  return chosen;
}

void draw_legend(State& s) {
  const ImVec2 at = ImGui::GetCursorScreenPos();
  const float em = ImGui::GetFontSize(), width = em * 6;
  ImDrawList* draw = ImGui::GetWindowDrawList();
  for (int i = 0; i < 24; ++i) {
    const float x = at.x + width * static_cast<float>(i) / 24;
    draw->AddRectFilled({x, at.y + em * 0.3f}, {x + width / 24, at.y + em * 0.8f},
                        probability_color(static_cast<float>(i) / 23, s.settings.dark));
  }
  ImGui::Dummy({width, ImGui::GetTextLineHeight()});
  ImGui::SameLine();
  ImGui::TextDisabled("0 to 100 %%");
}

// The tokens as flowing text. Returns the one under the mouse, -1 for none; *clicked the one that was clicked on.
int draw_flow(State& s, const Node& reply, int* clicked) {
  ImDrawList* draw = ImGui::GetWindowDrawList();
  const ImVec2 start = ImGui::GetCursorPos();
  const float right = start.x + ImGui::GetContentRegionAvail().x, line = ImGui::GetTextLineHeight() * 1.25f;
  ImVec2 at = start;
  int hovered = -1;
  for (size_t i = 0; i < reply.tokens.size(); ++i) {
    const TokenInfo& token = reply.tokens[i];
    const std::string text = shown(s, token.text);
    const float width = std::min(ImGui::CalcTextSize(text.c_str()).x, right - start.x);
    if (at.x + width > right && at.x > start.x) at = {start.x, at.y + line};
    ImGui::SetCursorPos(at);
    ImGui::PushID(static_cast<int>(i));
    if (ImGui::InvisibleButton("t", {std::max(width, 3.0f), line})) *clicked = static_cast<int>(i);
    ImGui::PopID();
    if (i < 3) s.mark(("token" + std::to_string(i)).c_str());
    if (ImGui::IsItemHovered()) hovered = static_cast<int>(i);
    const ImVec2 min = ImGui::GetItemRectMin(), max = ImGui::GetItemRectMax();
    if (ImGui::IsItemVisible()) {
      draw->AddRectFilled(min, {max.x, max.y - 1}, probability_color(std::exp(token.logprob), s.settings.dark), 2);
      if (token.forced || hovered == static_cast<int>(i)) draw->AddRect(min, {max.x, max.y - 1}, s.colors().text, 2);
      draw->PushClipRect(min, max, true);
      draw->AddText({min.x, min.y + line * 0.1f}, s.colors().text, text.c_str());
      draw->PopClipRect();
    }
    at.x += width + 1;
    if (token.text.find('\n') != std::string::npos) at = {start.x, at.y + line};
  }
  return hovered;
}

}  // namespace

void draw_tokens(State& s) {
  Node* reply = s.conversation.last();
  if (reply != nullptr && reply->role == "user") reply = nullptr;
  char numbers[64] = "";
  if (reply != nullptr)
    std::snprintf(numbers, sizeof(numbers), "%zu token%s", reply->tokens.size(), reply->tokens.size() == 1 ? "" : "s");
  heading("Tokens", numbers, s.settings.dark);
  if (reply == nullptr || reply->tokens.empty()) {
    ImGui::PushTextWrapPos(0);
    ImGui::TextDisabled(
        "The tokens of the reply, each on the color of its probability. Point at one for its alternatives, click "
        "to choose another.");
    ImGui::PopTextWrapPos();
    return;
  }
  draw_legend(s);
  ImGui::BeginChild("flow", {0, 0}, false);
  int clicked = -1;
  const int hovered = draw_flow(s, *reply, &clicked);
  if (s.streaming == reply && ImGui::GetScrollY() >= ImGui::GetScrollMaxY() - ImGui::GetTextLineHeight() * 2)
    ImGui::SetScrollHereY(1);
  if (clicked >= 0) {
    s.pinned = clicked, s.pinned_in = reply;
    ImGui::OpenPopup("alternatives");
  }
  if (hovered >= 0 && !ImGui::IsPopupOpen("alternatives")) {
    ImGui::BeginTooltip();
    draw_alternatives(s, reply, static_cast<size_t>(hovered), false);
    ImGui::EndTooltip();
  }
  if (ImGui::BeginPopup("alternatives")) {
    const bool valid = s.pinned_in == reply && s.pinned >= 0 && static_cast<size_t>(s.pinned) < reply->tokens.size();
    const Alternative* chosen =
        valid ? draw_alternatives(s, reply, static_cast<size_t>(s.pinned), !s.session.generating()) : nullptr;
    if (chosen != nullptr) {
      const Alternative copy = *chosen;
      s.continue_with(reply, static_cast<size_t>(s.pinned), copy);
      ImGui::CloseCurrentPopup();
    } else if (!valid) {
      ImGui::CloseCurrentPopup();
    }
    ImGui::EndPopup();
  }
  ImGui::EndChild();
}

}  // namespace lahar::demo
