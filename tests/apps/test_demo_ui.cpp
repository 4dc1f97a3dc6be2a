// The demo's interface without a window: drawn into an image on a device that the engine shares, under the validation layer,
// fed with ImGui's events as a keyboard and a mouse would.
#include <gtest/gtest.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <set>

#include "demo/stage.h"
#include "temporary_folder.h"

namespace lahar::demo {
namespace {

using namespace std::chrono_literals;

class UiTest : public ::testing::Test {
 protected:
  void SetUp() override {
    setenv("XDG_CACHE_HOME", (std::filesystem::temp_directory_path() / "lahar-test-cache").c_str(), 0);
    const char* device = std::getenv("LAHAR_DEVICE");
    StageOptions options{.width = 960, .height = 640, .validation = true};
    options.device = device != nullptr ? device : "";
    options.context = 512;
    stage = std::make_unique<Stage>(std::make_shared<Runtime>(), options);
    stage->session.load("");
    ASSERT_TRUE(until([&] { return stage->state.loaded != nullptr; })) << stage->state.notice;
    stage->frame();
  }
  void TearDown() override {
    if (stage == nullptr) return;
    EXPECT_EQ(stage->gpu.validation_messages(), 0);
    // What is left when the device goes is told then.
    ::testing::internal::CaptureStderr();
    stage.reset();
    EXPECT_EQ(::testing::internal::GetCapturedStderr(), "");
  }

  // Frames until `done`; false when that takes too long.
  template <typename Done>
  bool until(const Done& done) {
    const auto end = std::chrono::steady_clock::now() + 240s;
    while (!done()) {
      stage->frame();
      if (std::chrono::steady_clock::now() > end) return false;
    }
    return true;
  }
  void frames(int n) {
    for (int i = 0; i < n; ++i) stage->frame();
  }
  void type(const char* text) {
    ImGui::GetIO().AddInputCharactersUTF8(text);
    frames(2);
  }
  void press(ImGuiKey key, ImGuiKey with = ImGuiKey_None) {
    ImGuiIO& io = ImGui::GetIO();
    if (with != ImGuiKey_None) io.AddKeyEvent(with, true);
    frames(1);
    io.AddKeyEvent(key, true);
    frames(1);
    io.AddKeyEvent(key, false);
    if (with != ImGuiKey_None) io.AddKeyEvent(with, false);
    frames(1);
  }
  void click(const char* name) {
    const auto spot = stage->state.spots.find(name);
    ASSERT_NE(spot, stage->state.spots.end()) << name << " is not on the screen";
    ImGuiIO& io = ImGui::GetIO();
    const ImVec2 min = spot->second.min, max = spot->second.max;
    io.AddMousePosEvent((min.x + max.x) / 2, (min.y + max.y) / 2);
    frames(2);
    io.AddMouseButtonEvent(0, true);
    frames(1);
    io.AddMouseButtonEvent(0, false);
    frames(2);
  }
  void ask(const char* question) {
    click("input");
    type(question);
    press(ImGuiKey_Enter);
    ASSERT_TRUE(stage->session.generating() || last_role() == "assistant");
  }
  void beyond(const char* text) {  // types what Dear ImGui cannot take
    stage->state.typed = stage->state.wide.shown(text);
    frames(2);
  }
  bool finished() {
    return until([&] { return !stage->session.generating() && stage->state.streaming == nullptr; });
  }
  bool streamed(size_t tokens) {
    return until([&] { return stage->state.streaming != nullptr && stage->state.streaming->tokens.size() >= tokens; });
  }
  const Node* last() const { return stage->state.conversation.last(); }
  std::string last_role() const { return last() == nullptr ? "" : last()->role; }
  // Replies that the test can stop: a long question of which the model says much.
  void greedy() {
    stage->state.settings.model_sampling = false;
    stage->state.settings.sampling = {};
  }

  std::unique_ptr<Stage> stage;
};

TEST_F(UiTest, EnterSendsAndTheAnswerIsShown) {
  greedy();
  ask("What is 7 + 8?");
  ASSERT_TRUE(finished());
  ASSERT_NE(last(), nullptr);
  EXPECT_EQ(last()->content, "7 + 8 = 15.");
  EXPECT_TRUE(stage->state.input.empty());
  EXPECT_FALSE(last()->tokens.empty());
  EXPECT_EQ(last()->tokens[0].alternatives.size(), size_t{LAHAR_MOST_ALTERNATIVES});
  EXPECT_FALSE(stage->state.notice_is_error) << stage->state.notice;
}

TEST_F(UiTest, ShiftEnterBreaksTheLine) {
  click("input");
  type("one");
  press(ImGuiKey_Enter, ImGuiMod_Shift);
  type("two");
  EXPECT_EQ(stage->state.input, "one\ntwo");
  EXPECT_EQ(last(), nullptr) << "it was sent";
}

// Lines break where the box ends, and what is sent has no breaks but those that were typed.
TEST_F(UiTest, LongLinesWrapWhileTheyAreTyped) {
  const std::string line = "one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen";
  click("input");
  type(line.c_str());
  EXPECT_EQ(stage->state.input, line);
  press(ImGuiKey_Home);
  type("0");
  EXPECT_EQ(stage->state.input.find('0'), stage->state.input.rfind('0'));
  EXPECT_GT(stage->state.input.find('0'), 0u) << "there is but one line on the screen";
  press(ImGuiKey_Backspace);
  press(ImGuiKey_Backspace);  // over the soft break: the space before it
  EXPECT_EQ(stage->state.input.size(), line.size() - 1);
  press(ImGuiKey_Escape);
  EXPECT_EQ(stage->state.input.size(), line.size() - 1) << "Esc threw away what was typed";
}

TEST_F(UiTest, CharactersBeyondTheFirstPlane) {
  greedy();
  click("input");
  type("Hi ");
  beyond("\U0001f600");
  ImGui::SetClipboardText(stage->state.input.c_str());
  press(ImGuiKey_Enter);
  ASSERT_TRUE(finished());
  ASSERT_NE(last(), nullptr);
  EXPECT_EQ(last()->parent->content, "Hi \U0001f600");
  const std::string shown = stage->state.wide.shown("\U0001f600");
  EXPECT_EQ(shown.size(), 3u);
  EXPECT_EQ(stage->state.wide.original(ImGui::GetClipboardText()), "Hi \U0001f600");
  // The stand-in has a picture, or is shown as what no font has: never as a letter or nothing.
  ASSERT_TRUE(until([&] { return ImGui::GetFont()->FindGlyphNoFallback(0x200b) != nullptr; }));
  EXPECT_EQ(ImGui::GetFont()->GetCharAdvance(0x200b), 0);
  EXPECT_GT(ImGui::CalcTextSize(shown.c_str()).x, 0);
}

TEST_F(UiTest, TheStopButtonStopsInTheMiddle) {
  ask("Tell me a story about a mountain.");
  ASSERT_TRUE(streamed(2));
  frames(1);
  click("stop");
  ASSERT_TRUE(finished());
  EXPECT_FALSE(stage->state.notice_is_error) << stage->state.notice;
  EXPECT_FALSE(last()->content.empty());
}

TEST_F(UiTest, AMessageIsEditedAndBothBranchesStay) {
  greedy();
  ask("What is 7 + 8?");
  ASSERT_TRUE(finished());
  frames(2);
  click("edit");
  frames(2);
  ASSERT_NE(stage->state.editing, nullptr);
  stage->state.edit_text = "What is 2 + 3?";
  frames(2);
  click("edit-save");
  ASSERT_TRUE(finished());
  EXPECT_EQ(last()->content, "2 + 3 = 5.");
  EXPECT_EQ(stage->state.conversation.root()->children.size(), 2u);
  stage->state.conversation.turn(last()->parent, -1);
  EXPECT_EQ(last()->content, "7 + 8 = 15.");
  click("again");
  ASSERT_TRUE(finished());
  EXPECT_EQ(last()->parent->children.size(), 2u);
}

TEST_F(UiTest, MinimisedWhileItStreams) {
  ask("Tell me a story about a mountain.");
  ASSERT_TRUE(streamed(1));
  stage->resize(0, 0);
  ASSERT_TRUE(finished());
  EXPECT_FALSE(last()->content.empty());
  stage->resize(960, 640);
  frames(2);
  const std::vector<uint8_t> pixels = stage->image.pixels();
  EXPECT_GT(std::set<uint8_t>(pixels.begin(), pixels.end()).size(), 20u) << "it is not drawn again";
}

TEST_F(UiTest, EscStopsAndCtrlLClears) {
  ask("Tell me a story about a mountain.");
  ASSERT_TRUE(streamed(2));
  press(ImGuiKey_Escape);
  ASSERT_TRUE(finished());
  EXPECT_EQ(last_role(), "assistant");
  press(ImGuiKey_L, ImGuiMod_Ctrl);
  EXPECT_EQ(last(), nullptr);
  greedy();
  ask("What is 7 + 8?");
  ASSERT_TRUE(finished());
  EXPECT_EQ(last()->content, "7 + 8 = 15.");
}

TEST_F(UiTest, AnAlternativeIsContinued) {
  greedy();
  ask("What is the capital of Japan?");
  ASSERT_TRUE(finished());
  const Node* first = last();
  const std::string answer = first->content;
  frames(2);
  if (stage->state.spots.count("token1") == 0) GTEST_SKIP() << "the token view is not shown at this size";
  click("token1");
  frames(2);
  const int32_t chosen = first->tokens[1].alternatives[1].id;
  click("alternative1");
  ASSERT_TRUE(finished());
  ASSERT_NE(last(), first);
  ASSERT_GE(last()->tokens.size(), 2u);
  EXPECT_EQ(last()->tokens[0].id, first->tokens[0].id);
  EXPECT_EQ(last()->tokens[1].id, chosen);
  EXPECT_TRUE(last()->tokens[1].forced);
  EXPECT_EQ(first->content, answer) << "the branch that was left has changed";
  EXPECT_EQ(last()->parent->children.size(), 2u);
}

TEST_F(UiTest, AnotherModelWhileOneStreams) {
  ask("Tell me a story about a mountain.");
  ASSERT_TRUE(streamed(2));
  const auto before = stage->state.loaded;
  stage->state.open_model("");
  ASSERT_TRUE(until([&] { return stage->state.loaded != nullptr && stage->state.loaded != before; }));
  ASSERT_TRUE(finished());
  greedy();
  ask("What is 7 + 8?");
  ASSERT_TRUE(finished());
  EXPECT_EQ(last()->role, "assistant");
  EXPECT_FALSE(last()->content.empty());
}

TEST_F(UiTest, ABrokenFileLeavesTheOldModel) {
  const test::TemporaryFolder folder;
  const auto file = folder / "broken.gguf";
  std::ofstream(file, std::ios::binary) << "GGUF" << std::string(64, '\x7f');
  const auto before = stage->state.loaded;
  drop_files(stage->state, {file.string()});
  ASSERT_TRUE(until([&] { return stage->state.notice_is_error; }));
  EXPECT_EQ(stage->state.loaded, before);
  drop_files(stage->state, {(file.string() + ".missing")});
  EXPECT_NE(stage->state.notice.find("there is no"), std::string::npos);
  greedy();
  ask("What is 7 + 8?");
  ASSERT_TRUE(finished());
  EXPECT_EQ(last()->content, "7 + 8 = 15.");
}

TEST_F(UiTest, SmallAndBackAgainWhileItStreams) {
  ask("Tell me a story about a mountain.");
  ASSERT_TRUE(streamed(1));
  for (const auto& [width, height] : {std::pair{400u, 300u}, {64u, 64u}, {1280u, 800u}, {960u, 640u}}) {
    stage->resize(width, height);
    frames(3);
    EXPECT_NE(stage->state.spots.count("models"), 0u) << width;
  }
  ASSERT_TRUE(finished());
  EXPECT_FALSE(last()->content.empty());
}

TEST_F(UiTest, ClosedWhileItStreams) {
  ask("Tell me a story about a mountain.");
  ASSERT_TRUE(streamed(1));
}

TEST_F(UiTest, SavedAndLoaded) {
  const test::TemporaryFolder folder;
  const auto file = folder / "conversation.json";
  greedy();
  ask("What is 7 + 8?");
  ASSERT_TRUE(finished());
  stage->state.save(file.string());
  stage->state.clear();
  EXPECT_EQ(last(), nullptr);
  drop_files(stage->state, {file.string()});
  frames(2);
  ASSERT_NE(last(), nullptr);
  EXPECT_EQ(last()->content, "7 + 8 = 15.");
}

// Every panel shows something at either size, in either theme; the time slice follows its slider.
TEST_F(UiTest, PanelsAndThemes) {
  greedy();
  ask("What is 7 + 8?");
  ASSERT_TRUE(finished());
  stage->resize(1280, 800);
  for (const bool dark : {true, false}) {
    stage->state.settings.dark = dark;
    frames(2);
    for (const char* name : {"models", "settings", "conversation", "input", "slice", "freeze"})
      EXPECT_NE(stage->state.spots.count(name), 0u) << name;
    const std::vector<uint8_t> pixels = stage->image.pixels();
    const uint8_t corner = pixels[0];
    EXPECT_EQ(corner < 128, dark);
  }
  EXPECT_NE(stage->state.trace.serial, 0u);
  EXPECT_GT(stage->state.pages.size(), 0u);
  click("slice");
  EXPECT_NE(stage->state.settings.time_slice, 2.0f);
}

}  // namespace
}  // namespace lahar::demo
