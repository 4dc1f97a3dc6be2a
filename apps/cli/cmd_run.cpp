// lahar run: one prompt, one reply. The reply alone goes to stdout.
#include <cstdio>

#include "cli/command.h"
#include "cli/generation.h"

namespace lahar::cli {
namespace {

struct State {
  ModelOptions model;
  SamplingOptions sampling;
  std::string prompt, tokens;
  uint32_t max_tokens = UINT32_MAX;
  bool raw = false, stats = false, ids = false, special = false, ignore_eos = false;
};

Result<std::vector<int32_t>> prompt_ids(const State& state, const Session& session) {
  if (!state.tokens.empty()) return parse_ids(state.tokens);
  const Tokenizer& tokenizer = *session.tokenizer;
  if (state.raw || !session.chat->has_template())
    return tokenizer.encode(state.prompt, {.add_bos = tokenizer.add_bos_default(), .parse_special = state.special});
  ChatInput input;
  input.messages.push_back({{"role", "user"}, {"content", state.prompt}});
  input.add_generation_prompt = true;
  LAHAR_ASSIGN(const Rendering rendering, session.chat->render(input));
  return session.chat->encode(rendering);
}

void print_stats(const Session& session, const GenerateStats& stats) {
  const gpu::Caps& caps = session.device->caps();
  std::fprintf(stderr, "device: %s (%s)\n", caps.info.name.c_str(), std::string(gpu::to_string(caps.info.type)).c_str());
  std::fprintf(stderr, "memory: %s\n", session.engine->memory().describe().c_str());
  std::fprintf(stderr, "memory in use on the device: %s\n", format_bytes(session.device->memory_use().used).c_str());
  std::fprintf(stderr, "start: device %.0f ms, load %.0f ms; staging peak %s\n", session.times.device * 1e3,
               session.times.load * 1e3, format_bytes(session.engine->staging_peak()).c_str());
  std::fprintf(stderr, "first token: %.0f ms after the prompt; %s\n", stats.prefill_seconds * 1e3, describe(stats).c_str());
  if (const std::string experts = describe(stats.experts); !experts.empty()) std::fprintf(stderr, "%s\n", experts.c_str());
  std::fprintf(stderr, "programs recorded: %llu\n", static_cast<unsigned long long>(session.engine->steps().recorded()));
}

Status run(const State& state) {
  if (state.prompt.empty() && state.tokens.empty())
    return Error{ErrorCode::kInvalidArgument, "run needs a prompt: -p TEXT or --tokens IDS"};
  LAHAR_ASSIGN(Session session, Session::open(state.model, state.tokens.empty() || !state.ids));
  LAHAR_ASSIGN(const std::vector<int32_t> prompt, prompt_ids(state, session));
  const SamplingParams sampling = sampling_params(state.sampling, session.engine->spec().sampling);
  const auto show = [&](std::string_view text) {
    if (state.ids) return;
    std::fwrite(text.data(), 1, text.size(), stdout);
    std::fflush(stdout);
  };
  const std::span<const int32_t> stops = state.ignore_eos ? std::span<const int32_t>{} : std::span(session.stop_tokens);
  LAHAR_ASSIGN(const Reply reply, generate_reply(session, prompt, state.max_tokens, sampling, stops, show));
  if (state.ids) {
    for (size_t i = 0; i < reply.outcome.tokens.size(); ++i) std::printf("%s%d", i == 0 ? "" : " ", reply.outcome.tokens[i]);
  }
  std::printf("\n");
  if (reply.outcome.reason == StopReason::kContext)
    std::fprintf(stderr, "The context of %u tokens is full; the reply ends here. --context gives it more.\n",
                 session.engine->context());
  if (state.stats) print_stats(session, reply.outcome.stats);
  return {};
}

}  // namespace

void add_run(CLI::App& program, Action& chosen) {
  auto state = std::make_shared<State>();
  CLI::App* command = add_command(program, "run", "Answer one prompt", chosen, run, state);
  add_model_options(*command, state->model);
  add_streaming_option(*command, state->model);
  command->add_option("-p,--prompt", state->prompt, "The prompt");
  command->add_option("--tokens", state->tokens, "The prompt as token ids, separated by commas or spaces");
  command->add_option("-n,--max-tokens", state->max_tokens, "Tokens to generate at most");
  add_sampling_options(*command, state->sampling);
  command->add_flag("--raw", state->raw, "Continue the prompt as it is, without the chat template");
  command->add_flag("--special", state->special, "With --raw: special tokens spelled in the prompt become tokens");
  command->add_flag("--ids", state->ids, "Print token ids instead of text");
  command->add_flag("--ignore-eos", state->ignore_eos, "Go on where the model would stop");
  command->add_flag("--stats", state->stats, "Numbers on stderr afterwards");
}

}  // namespace lahar::cli
