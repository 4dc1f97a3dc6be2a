// lahar chat: a conversation on the terminal, or one turn a line where stdin is no terminal.
#include <algorithm>
#include <cstdio>
#include <iostream>

#include "cli/command.h"
#include "cli/generation.h"
#include "core/platform.h"

namespace lahar::cli {
namespace {

struct State {
  ModelOptions model;
  SamplingOptions sampling;
  std::string system;
  uint32_t max_tokens = UINT32_MAX;
};

struct Message {
  std::string role, content;
};

class Chat {
 public:
  Chat(const State& state, Session session)
      : session_(std::move(session)),
        max_tokens_(state.max_tokens),
        system_(state.system),
        terminal_(platform::stdin_is_terminal()) {
    sampling_ = sampling_params(state.sampling, session_.engine->spec().sampling);
    fixed_seed_ = state.sampling.seed.has_value();
  }

  Status loop() {
    greet();
    std::string line;
    while (read_line(line)) {
      if (line.empty()) continue;
      if (line[0] == '/') {
        if (line == "/exit" || line == "/quit") break;
        LAHAR_TRY(command(line));
        continue;
      }
      messages_.push_back({"user", line});
      LAHAR_TRY(reply());
    }
    return {};
  }

 private:
  void greet() const {
    if (!terminal_) return;
    const Style style = stderr_style();
    const ModelSpec& spec = session_.engine->spec();
    std::fprintf(stderr, "%s%s%s on %s, context %u tokens. /exit, /clear, /regen, /system TEXT; Ctrl-C stops a reply.\n",
                 std::string(style.bold).c_str(), spec.name.empty() ? session_.source->name().c_str() : spec.name.c_str(),
                 std::string(style.reset).c_str(), session_.device->caps().info.name.c_str(), session_.engine->context());
    if (!session_.chat->has_template())
      std::fprintf(stderr, "This model has no chat template: it continues your text instead of answering it.\n");
  }

  // False at the end of input, and where Ctrl-C is pressed at an empty prompt.
  bool read_line(std::string& line) const {
    if (terminal_) {
      const Style style = stderr_style();
      std::fprintf(stderr, "%s> %s", std::string(style.bold).c_str(), std::string(style.reset).c_str());
      std::fflush(stderr);
    }
    platform::InterruptGuard interrupts;  // Ctrl-C makes the read fail instead of ending the program in the middle
    if (!std::getline(std::cin, line)) {
      if (terminal_) std::fputc('\n', stderr);
      return false;
    }
    if (!line.empty() && line.back() == '\r') line.pop_back();
    return true;
  }

  Status command(const std::string& line) {
    if (line == "/clear") {
      messages_.clear();
      say("The conversation starts afresh.");
    } else if (line == "/regen") {
      while (!messages_.empty() && messages_.back().role == "assistant") messages_.pop_back();
      if (messages_.empty()) {
        say("There is nothing to regenerate yet.");
        return {};
      }
      return reply();
    } else if (line == "/system" || line.starts_with("/system ")) {
      system_ = line.size() > 8 ? line.substr(8) : "";
      say(system_.empty() ? "No system message." : "The system message is set.");
    } else {
      say("Unknown command " + line.substr(0, line.find(' ')) + ". There are /exit, /clear, /regen and /system TEXT.");
    }
    return {};
  }

  void say(const std::string& text) const { std::fprintf(stderr, "%s\n", text.c_str()); }

  Result<std::vector<int32_t>> encode() const {
    ChatInput input;
    if (!system_.empty()) input.messages.push_back({{"role", "system"}, {"content", system_}});
    for (const Message& m : messages_) input.messages.push_back({{"role", m.role}, {"content", m.content}});
    input.add_generation_prompt = true;
    LAHAR_ASSIGN(const Rendering rendering, session_.chat->render(input));
    return session_.chat->encode(rendering);
  }

  // The oldest turns go until the prompt leaves room for a reply.
  Result<std::vector<int32_t>> fitting_prompt() {
    if (session_.engine->streaming()) return encode();
    const uint32_t context = session_.engine->context();
    const uint32_t room = context - std::min(context / 4, 256u);
    bool dropped = false;
    while (true) {
      LAHAR_ASSIGN(std::vector<int32_t> ids, encode());
      if (ids.size() <= room || messages_.size() <= 1) {
        if (dropped) say("The context is full: the oldest turns were dropped.");
        return ids;
      }
      messages_.erase(messages_.begin());
      while (messages_.size() > 1 && messages_.front().role == "assistant") messages_.erase(messages_.begin());
      dropped = true;
    }
  }

  Status reply() {
    auto prompt = fitting_prompt();
    if (!prompt.ok()) return give_up(prompt.error());
    const auto show = [](std::string_view text) {
      std::fwrite(text.data(), 1, text.size(), stdout);
      std::fflush(stdout);
    };
    if (!fixed_seed_) ++sampling_.seed;
    auto result = generate_reply(session_, *prompt, max_tokens_, sampling_, session_.stop_tokens, show);
    if (!result.ok()) return give_up(result.error());
    std::fputc('\n', stdout);
    std::fflush(stdout);
    messages_.push_back({"assistant", result->text});
    if (result->outcome.reason == StopReason::kContext) say("The context is full; the reply ends here.");
    if (terminal_) {
      const Style style = stderr_style();
      std::fprintf(stderr, "%s%s%s\n", std::string(style.dim).c_str(), describe(result->outcome.stats).c_str(),
                   std::string(style.reset).c_str());
    }
    return {};
  }

  // A turn that cannot be answered is taken back; a conversation at a terminal goes on.
  Status give_up(const Error& error) {
    if (!terminal_ || error.code == ErrorCode::kDeviceLost) return error;
    say("lahar: " + error.message);
    if (!messages_.empty() && messages_.back().role == "user") messages_.pop_back();
    return {};
  }

  Session session_;
  SamplingParams sampling_;
  uint32_t max_tokens_;
  std::string system_;
  bool terminal_, fixed_seed_ = false;
  std::vector<Message> messages_;
};

Status run(const State& state) {
  LAHAR_ASSIGN(Session session, Session::open(state.model, true));
  return Chat(state, std::move(session)).loop();
}

}  // namespace

void add_chat(CLI::App& program, Action& chosen) {
  auto state = std::make_shared<State>();
  CLI::App* command = add_command(program, "chat", "Talk with a model", chosen, run, state);
  add_model_options(*command, state->model);
  add_streaming_option(*command, state->model);
  command->add_option("-s,--system", state->system, "System message");
  command->add_option("-n,--max-tokens", state->max_tokens, "Tokens of a reply at most");
  add_sampling_options(*command, state->sampling);
}

}  // namespace lahar::cli
