#include "demo/wrapped_input.h"

#include <imgui_stdlib.h>

#include <algorithm>
#include <vector>

#include "demo/wide_text.h"

namespace lahar::demo {
namespace {

constexpr std::string_view kMark = "\u200b", kSoftBreak = "\u200b\n\u200b", kNoSecond = "\u200b\n", kNoFirst = "\n\u200b";

// Bytes of the character that begins at `at`.
size_t length_from(std::string_view text, size_t at) {
  size_t end = at + 1;
  while (end < text.size() && (static_cast<unsigned char>(text[end]) & 0xc0) == 0x80) ++end;
  return end - at;
}
void drop_last(std::string& text) {
  while (!text.empty() && (static_cast<unsigned char>(text.back()) & 0xc0) == 0x80) text.pop_back();
  if (!text.empty()) text.pop_back();
}

WrappedText without_breaks(std::string_view edited, size_t cursor) {
  WrappedText plain;
  bool placed = false;
  for (size_t i = 0; i < edited.size();) {
    if (!placed && i >= cursor) plain.cursor = plain.text.size(), placed = true;
    const std::string_view rest = edited.substr(i);
    if (rest.starts_with(kSoftBreak)) {
      i += kSoftBreak.size();
    } else if (rest.starts_with(kNoSecond)) {  // Backspace behind it
      drop_last(plain.text);
      i += kNoSecond.size();
    } else if (rest.starts_with(kNoFirst)) {  // Delete before it
      i += kNoFirst.size();
      if (i < edited.size()) i += length_from(edited, i);
    } else if (rest.starts_with(kMark)) {
      i += kMark.size();
    } else {
      plain.text.push_back(edited[i++]);
    }
  }
  if (!placed) plain.cursor = plain.text.size();
  plain.cursor = std::min(plain.cursor, plain.text.size());
  return plain;
}

// Where lines break: offsets into `text` of the first character behind each.
std::vector<size_t> soft_breaks(std::string_view text, float width, const std::function<float(uint32_t)>& advance) {
  std::vector<size_t> breaks;
  size_t start = 0, chance = 0;  // of the line; behind the last space in it
  float x = 0, since = 0;        // width of the line, and of what is behind the chance
  for_each_character(text, [&](uint32_t c, std::string_view bytes) {
    const auto at = static_cast<size_t>(bytes.data() - text.data());
    if (c == '\n') {
      start = chance = at + 1;
      x = since = 0;
      return;
    }
    const float w = advance(c);
    if (x + w > width && at > start && c != ' ') {
      const bool at_word = chance > start;
      start = at_word ? chance : at;
      x = at_word ? since : 0;
      breaks.push_back(start);
      chance = start;
    }
    x += w, since += w;
    if (c == ' ' || c >= 0x2e80) chance = at + bytes.size(), since = 0;  // scripts beyond have no spaces
  });
  return breaks;
}

float advance_of(uint32_t c) {
  const ImFont& font = *ImGui::GetFont();
  return font.GetCharAdvance(static_cast<ImWchar>(c)) * ImGui::GetFontSize() / font.FontSize;
}

struct Edit {
  float width = 0;
  std::string* typed = nullptr;
};

// The ends of the cursor and the selection are before or behind a soft break, never within.
int outside(std::string_view text, int at, bool to_the_left) {
  for (size_t back = 1; back < kSoftBreak.size(); ++back)
    if (static_cast<size_t>(at) >= back && text.substr(static_cast<size_t>(at) - back).starts_with(kSoftBreak)) {
      // Behind the first mark is where a line ends, for Dear ImGui.
      const size_t begin = static_cast<size_t>(at) - back;
      return static_cast<int>(to_the_left || back <= kMark.size() ? begin : begin + kSoftBreak.size());
    }
  return at;
}

int take_edit(ImGuiInputTextCallbackData* data) {
  const Edit& edit = *static_cast<const Edit*>(data->UserData);
  if (edit.typed != nullptr && !edit.typed->empty()) {
    if (data->HasSelection()) {
      const int from = std::min(data->SelectionStart, data->SelectionEnd),
                to = std::max(data->SelectionStart, data->SelectionEnd);
      data->DeleteChars(from, to - from);
    }
    data->InsertChars(data->CursorPos, edit.typed->c_str());
    edit.typed->clear();
  }
  const std::string_view now(data->Buf, static_cast<size_t>(data->BufTextLen));
  const WrappedText wrapped = wrap(now, static_cast<size_t>(data->CursorPos), edit.width, advance_of);
  if (wrapped.text != now) {
    data->DeleteChars(0, data->BufTextLen);
    data->InsertChars(0, wrapped.text.c_str());
    data->CursorPos = data->SelectionStart = data->SelectionEnd = static_cast<int>(wrapped.cursor);
    return 0;
  }
  const bool left = ImGui::IsKeyDown(ImGuiKey_LeftArrow);
  for (int* end : {&data->CursorPos, &data->SelectionStart, &data->SelectionEnd}) *end = outside(now, *end, left);
  return 0;
}

}  // namespace

std::string without_soft_breaks(std::string_view wrapped) { return without_breaks(wrapped, 0).text; }

WrappedText wrap(std::string_view edited, size_t cursor, float width, const std::function<float(uint32_t)>& advance) {
  const WrappedText plain = without_breaks(edited, cursor);
  WrappedText out{.text = {}, .cursor = plain.cursor};
  size_t done = 0;
  for (const size_t at : soft_breaks(plain.text, width, advance)) {
    out.text.append(plain.text, done, at - done).append(kSoftBreak);
    if (plain.cursor >= at) out.cursor += kSoftBreak.size();
    done = at;
  }
  out.text.append(plain.text, done);
  return out;
}

bool wrapped_input(const char* id, std::string* text, ImVec2 size, std::string* typed, ImGuiInputTextFlags flags) {
  const ImGuiStyle& style = ImGui::GetStyle();
  const float inside = (size.x > 0 ? size.x : ImGui::GetContentRegionAvail().x) - style.FramePadding.x * 2;
  Edit edit{std::max(inside - style.ScrollbarSize - ImGui::GetFontSize() * 0.5f, ImGui::GetFontSize()), typed};
  const std::string before = *text;
  std::string wrapped = wrap(*text, 0, edit.width, advance_of).text;
  const bool entered =
      ImGui::InputTextMultiline(id, &wrapped, size, flags | ImGuiInputTextFlags_CallbackAlways, take_edit, &edit);
  // Dear ImGui takes back all that was typed when Esc is pressed: here nothing is lost.
  if (!ImGui::IsKeyPressed(ImGuiKey_Escape, false)) *text = without_soft_breaks(wrapped);
  return entered;
}

}  // namespace lahar::demo
