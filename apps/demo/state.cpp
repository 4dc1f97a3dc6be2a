#include "demo/state.h"

#include <chrono>
#include <cmath>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <random>
#include <sstream>

namespace lahar::demo {
namespace {

constexpr double kMeasureEvery = 0.1, kTraceEvery = 0.4, kRateWindow = 1.0;  // seconds

double steady_now() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

}  // namespace

// ---- what the user does ----

void State::send() {
  const size_t end = input.find_last_not_of(" \t\n");
  if (end == std::string::npos || session.generating() || loaded == nullptr) return;
  Node* const message = conversation.append("user", wide.original(std::string_view(input).substr(0, end + 1)));
  input.clear();
  notice.clear();
  start_reply(message);
}

void State::start_reply(Node* parent, std::vector<TokenInfo> begun) {
  Session::Request request;
  request.messages = conversation.messages(parent);
  for (const TokenInfo& token : begun) request.begun.push_back(token.id);
  if (settings.model_sampling) request.sampling = loaded->engine->default_sampling();
  else {
    request.sampling = settings.sampling;
    if (!settings.fixed_seed) request.sampling.seed = std::random_device{}();
  }
  request.max_tokens = static_cast<uint32_t>(std::max(settings.max_tokens, 0));
  streaming = conversation.branch(parent, "assistant", "");
  for (TokenInfo& token : begun) {
    streaming->content += token.text;
    streaming->tokens.push_back(std::move(token));
  }
  token_times.clear();
  scroll_down = true;
  session.generate(std::move(request));
}

void State::ask_again(Node* reply) {
  if (session.generating() || loaded == nullptr) return;
  start_reply(reply->parent);
}

void State::edit(Node* message, std::string to) {
  if (session.generating() || loaded == nullptr) return;
  start_reply(conversation.branch(message->parent, message->role, std::move(to)));
}

void State::continue_with(Node* reply, size_t token, const Alternative& instead) {
  if (session.generating() || loaded == nullptr || token >= reply->tokens.size()) return;
  std::vector<TokenInfo> begun(reply->tokens.begin(), reply->tokens.begin() + static_cast<ptrdiff_t>(token));
  TokenInfo forced = reply->tokens[token];
  forced.id = instead.id;
  forced.logprob = instead.logprob;
  forced.text = session.piece(token > 0 ? reply->tokens[token - 1].id : -1, instead.id);
  forced.forced = true;
  begun.push_back(std::move(forced));
  pinned = -1;
  start_reply(reply->parent, std::move(begun));
}

void State::clear() {
  session.stop();
  streaming = editing = pinned_in = nullptr;
  pinned = -1;
  conversation.clear();
  notice.clear();
  focus_input = true;
}

void State::open_model(const std::string& path) {
  if (!path.empty())
    if (const std::string why = why_no_model(path); !why.empty()) return tell(why, true);
  notice.clear();
  session.load(path);
}

void State::save(const std::string& path) {
  std::ofstream out(path, std::ios::binary | std::ios::trunc);
  out << conversation.to_json();
  if (out.flush()) tell("saved to " + path, false);
  else tell("cannot write " + path, true);
}

void State::open_conversation(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  std::ostringstream text;
  text << in.rdbuf();
  if (!in) return tell("cannot read " + path, true);
  clear();
  std::string error;
  if (!conversation.from_json(text.str(), &error)) return tell(model_name(path) + ": " + error, true);
  scroll_down = true;
}

// ---- what the session tells ----

void State::update(double now_seconds, double frame_seconds) {
  now = now_seconds;
  for (const Event& event : session.take_events()) take(event);
  loaded = session.loaded();
  measure(frame_seconds);
  follow_pages();
  follow_trace();
}

void State::take(const Event& event) {
  if (const auto* token = std::get_if<TokenEvent>(&event)) {
    position = token->position;
    token_times.push_back(token->seconds);
    if (streaming == nullptr) return;  // the conversation was cleared
    streaming->content += token->token.text;
    if (token->token.id >= 0) streaming->tokens.push_back(token->token);
    else if (!streaming->tokens.empty()) streaming->tokens.back().text += token->token.text;
  } else if (const auto* done = std::get_if<DoneEvent>(&event)) {
    streaming = nullptr;
    focus_input = true;
    if (done->reply.generated_tokens > 0) first_token.add(static_cast<float>(done->reply.prefill_seconds * 1e3));
    if (done->reply.reason == LAHAR_STOP_CONTEXT) tell("The context is full.", false);
  } else if (const auto* opened = std::get_if<LoadedEvent>(&event)) {
    models.opened(opened->path);
    pages.clear();
    trace = {};
    map_layer = -1;
    tell(model_name(opened->path) + " is loaded.", false);
  } else if (const auto* failed = std::get_if<FailedEvent>(&event)) {
    if (!failed->loading) {
      if (streaming != nullptr && streaming->content.empty()) conversation.remove(streaming);
      streaming = nullptr;
    }
    tell(failed->text, true);
  }
}

void State::measure(double frame_seconds) {
  frame_ms.add(static_cast<float>(frame_seconds * 1e3));
  if (measured_at_ >= 0 && now - measured_at_ < kMeasureEvery) return;
  measured_at_ = now;
  // std::clock counts the processor time of all threads.
  const double used = static_cast<double>(std::clock()) / CLOCKS_PER_SEC;
  if (cpu_at_ >= 0 && now > cpu_at_) cpu.add(static_cast<float>((used - cpu_used_) / (now - cpu_at_) * 100));
  cpu_at_ = now, cpu_used_ = used;

  const double from = steady_now() - kRateWindow;
  std::erase_if(token_times, [from](double t) { return t < from; });
  const bool generating = session.generating();
  float rate = 0;
  if (token_times.size() > 1) {
    const double span = token_times.back() - token_times.front();
    if (span > 0) rate = static_cast<float>(static_cast<double>(token_times.size() - 1) / span);
  }
  if (generating) {
    tokens_per_second.add(rate);
    if (loaded != nullptr)
      bandwidth.add(static_cast<float>(rate * static_cast<double>(loaded->engine->step_bytes(position)) / 1e9));
  }
  if (loaded != nullptr) memory = loaded->engine->memory();
}

void State::follow_pages() {
  if (loaded == nullptr) return;
  const std::vector<lahar_kv_page> current = loaded->engine->kv_pages();
  pages.resize(current.size());
  for (size_t i = 0; i < current.size(); ++i) {
    KvCell& cell = pages[i];
    const bool was_used = cell.page.sequence >= 0, used = current[i].sequence >= 0;
    if (was_used && !used) cell.freed = freed_at_ = now;
    if (used && (!was_used || cell.page.tokens != current[i].tokens || cell.page.index != current[i].index))
      cell.changed = now;
    cell.page = current[i];
  }
}

void State::follow_trace() {
  if (loaded == nullptr || frozen) return;
  if (session.generating() && now - asked_trace_at_ > kTraceEvery) {
    loaded->engine->request_trace();
    asked_trace_at_ = now;
  }
  Trace latest = loaded->engine->trace();
  if (latest.serial != 0) trace = std::move(latest);
}

}  // namespace lahar::demo
