// lahar perplexity: how well a model predicts a text.
#include <cmath>
#include <cstdio>

#include "cli/command.h"
#include "cli/session.h"
#include "core/platform.h"

namespace lahar::cli {
namespace {

struct State {
  ModelOptions model;
  std::string file;
  uint32_t window = 512, stride = 512;
  uint64_t tokens = UINT64_MAX;
};

// Minus the natural logarithm of the probability of `token`; logits [vocabulary].
double negative_log_likelihood(std::span<const float> logits, int32_t token) {
  double largest = -INFINITY;
  for (const float v : logits) largest = std::max(largest, static_cast<double>(v));
  double sum = 0;
  for (const float v : logits) sum += std::exp(v - largest);
  return largest + std::log(sum) - logits[static_cast<size_t>(token)];
}

// Windows of `window` tokens begin every `stride` tokens, each with an empty cache. A window scores its tokens that no
// window before it has scored, but never its first, which nothing precedes.
Status run(const State& state) {
  if (state.stride == 0 || state.stride > state.window)
    return Error{ErrorCode::kInvalidArgument, "--stride must be at least 1 and at most --window"};
  if (state.window < 2) return Error{ErrorCode::kInvalidArgument, "--window must be at least 2"};
  LAHAR_ASSIGN(const auto file, platform::MappedFile::open(state.file));
  ModelOptions options = state.model;
  if (options.context == 0) options.context = state.window;
  LAHAR_ASSIGN(Session session, Session::open(options, true, true));
  const std::string_view text(reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size());
  LAHAR_ASSIGN(std::vector<int32_t> tokens, session.tokenizer->encode(text, {.add_bos = false, .parse_special = true}));
  if (tokens.size() > state.tokens) tokens.resize(state.tokens);

  double sum = 0;
  uint64_t predicted = 0;
  size_t scored = 0;  // tokens before it have been scored, or never will be
  ProgressBar bar("Scoring");
  for (size_t begin = 0; begin + 1 < tokens.size(); begin += state.stride) {
    const size_t end = std::min<size_t>(begin + state.window, tokens.size());
    const auto window = std::span(tokens).subspan(begin, end - begin);
    const uint32_t vocabulary = session.engine->spec().vocabulary;
    LAHAR_TRY(session.engine->logits(
        window, [&](uint32_t first, uint32_t rows, std::span<const float> logits, uint32_t stride) -> Status {
          for (uint32_t r = 0; r < rows; ++r) {
            const size_t target = begin + first + r + 1;
            if (target >= end || target < scored) continue;
            sum += negative_log_likelihood(logits.subspan(size_t{r} * stride, vocabulary), tokens[target]);
            ++predicted;
          }
          return {};
        }));
    scored = end;
    bar.update(end, tokens.size());
    if (end == tokens.size()) break;
  }
  bar.clear();
  if (predicted == 0) return Error{ErrorCode::kInvalidArgument, state.file + ": has fewer than two tokens"};
  std::printf("perplexity %.6f\n", std::exp(sum / static_cast<double>(predicted)));
  std::fprintf(stderr, "%zu tokens, %llu predicted, window %u, stride %u\n", tokens.size(),
               static_cast<unsigned long long>(predicted), state.window, state.stride);
  return {};
}

}  // namespace

void add_perplexity(CLI::App& program, Action& chosen) {
  auto state = std::make_shared<State>();
  CLI::App* command = add_command(program, "perplexity", "How well a model predicts a text", chosen, run, state);
  add_model_options(*command, state->model);
  command->add_option("-f,--file", state->file, "Text; special tokens that it spells count as tokens")->required();
  command->add_option("--tokens", state->tokens, "Score the first tokens of the text only");
  command->add_option("--window", state->window, "Tokens that a prediction can look back on");
  command->add_option("--stride", state->stride, "Tokens from one window to the next");
}

}  // namespace lahar::cli
