// What the panels share.
#pragma once

#include <imgui.h>

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "demo/conversation.h"
#include "demo/model_list.h"
#include "demo/series.h"
#include "demo/session.h"
#include "demo/style.h"
#include "demo/wide_text.h"

namespace lahar::demo {

struct Settings {
  bool model_sampling = true;  // what the model's makers advise, instead of `sampling`
  Sampling sampling{.temperature = 0.8f, .top_k = 40, .top_p = 0.95f, .min_p = 0.05f};
  bool fixed_seed = false;
  int max_tokens = 0;
  float time_slice = 2;  // milliseconds
  bool dark = true;
  float zoom = 1;
};

struct KvCell {
  static constexpr double kFade = 1.5;  // seconds that a freed page is still seen
  lahar_kv_page page{-1, 0, 0};
  double changed = -10, freed = -10;  // when; seconds of the interface's clock
};

// Where things are on the screen, by name, as of the last frame: for tests, which click there.
struct Spot {
  ImVec2 min, max;
};

struct State {
  explicit State(Session& s) : session(s) {}

  Session& session;
  Settings settings;
  Conversation conversation;
  ModelList models;

  Node* streaming = nullptr;     // the reply that comes
  Node* editing = nullptr;       // the message that is being changed
  std::string input, edit_text;  // as they are shown (wide_text.h)
  WideText wide;
  std::string typed;                                        // since the last frame, of what Dear ImGui cannot take
  std::string model_path, file_path = "conversation.json";  // typed in the menus
  std::string notice;                                       // what went wrong or was done; empty: nothing
  bool notice_is_error = false;
  bool focus_input = true, scroll_down = false;

  double now = 0;  // seconds since the start
  std::shared_ptr<const Loaded> loaded;

  // meters
  Series tokens_per_second{240}, first_token{60}, bandwidth{240}, cpu{240}, frame_ms{240};
  std::vector<double> token_times;  // of the last second
  uint32_t position = 0;            // of the last token
  lahar_memory memory{};
  uint64_t window_bytes = 0;

  // KV map and timeline
  std::vector<KvCell> pages;
  int map_layer = -1;  // -1: all
  Trace trace;
  bool frozen = false;

  // token view
  int pinned = -1;  // token whose alternatives are open
  Node* pinned_in = nullptr;

  std::map<std::string, Spot> spots;
  void mark(const char* name) { spots[name] = {ImGui::GetItemRectMin(), ImGui::GetItemRectMax()}; }

  const Palette& colors() const { return palette(settings.dark); }
  void tell(std::string text, bool error) { notice = std::move(text), notice_is_error = error; }

  // ---- what the user does ----
  void send();                               // what is in `input`
  void ask_again(Node* reply);               // for another reply beside this one
  void edit(Node* message, std::string to);  // a branch with another text
  void continue_with(Node* reply, size_t token, const Alternative& instead);
  void start_reply(Node* parent, std::vector<TokenInfo> begun = {});
  void stop() { session.stop(); }
  void clear();
  void open_model(const std::string& path);  // empty: the built-in one
  void save(const std::string& path);
  void open_conversation(const std::string& path);

  // Whether something on the screen moves by itself.
  bool moving() const { return session.busy() || now - freed_at_ < KvCell::kFade; }

  // Takes in what the session tells, and what is measured. Once a frame.
  void update(double now_seconds, double frame_seconds);

 private:
  void take(const Event& event);
  void measure(double frame_seconds);
  void follow_pages();
  void follow_trace();
  double measured_at_ = -1, cpu_at_ = -1, cpu_used_ = 0, asked_trace_at_ = -1, freed_at_ = -10;
};

// The panels. Each fills the child window that it is called in.
void draw_chat(State& state);
void draw_tokens(State& state);
void draw_kv_map(State& state);
void draw_timeline(State& state);
void draw_meters(State& state);
void draw_model_menu(State& state);
void draw_settings_menu(State& state);
void draw_conversation_menu(State& state);

}  // namespace lahar::demo
