// A reply on the terminal: streamed text, Ctrl-C, numbers afterwards. Shared by run and chat.
#pragma once

#include <functional>

#include "cli/session.h"

namespace lahar::cli {

struct Reply {
  GenerateOutcome outcome;
  std::string text;
};

// Generates and passes whole UTF-8 characters to `show` as they arrive. Ctrl-C ends the reply (kCancelled). The session may
// have no tokenizer; then nothing is shown.
Result<Reply> generate_reply(Session& session, std::span<const int32_t> prompt, uint32_t max_tokens,
                             const SamplingParams& sampling, std::span<const int32_t> stop_tokens,
                             const std::function<void(std::string_view)>& show);

// "12 tokens, 34.5 tokens/s (prompt 20 tokens, 80.1 tokens/s)"
std::string describe(const GenerateStats& stats);
// "experts: 93.1 % of 4096 reads from device memory; copied to it: 96 MiB"; empty where none are in the host's memory.
std::string describe(const ExpertStats& experts);

}  // namespace lahar::cli
