#include "cli/generation.h"

#include <cstdio>

#include "core/platform.h"
#include "engine/memory_plan.h"
#include "text/stream_decoder.h"

namespace lahar::cli {

Result<Reply> generate_reply(Session& session, std::span<const int32_t> prompt, uint32_t max_tokens,
                             const SamplingParams& sampling, std::span<const int32_t> stop_tokens,
                             const std::function<void(std::string_view)>& show) {
  Reply reply;
  std::optional<StreamDecoder> decoder;
  if (session.tokenizer) decoder.emplace(*session.tokenizer);
  const auto emit = [&](const std::string& text) {
    if (text.empty()) return;
    reply.text += text;
    show(text);
  };
  platform::InterruptGuard interrupts;
  GenerateRequest request{.prompt = prompt, .max_tokens = max_tokens, .sampling = sampling, .stop_tokens = stop_tokens};
  request.on_token = [&](int32_t token, const params::SampleRecord&) {
    if (decoder) emit(decoder->push(token));
    return !platform::InterruptGuard::interrupted();
  };
  LAHAR_ASSIGN(reply.outcome, session.engine->generate(request));
  if (decoder) emit(decoder->flush());
  return reply;
}

std::string describe(const GenerateStats& stats) {
  const auto rate = [](double tokens, double seconds) { return seconds > 0 ? tokens / seconds : 0.0; };
  char text[160];
  std::snprintf(text, sizeof(text), "%u tokens, %.1f tokens/s (prompt %u tokens, %.1f tokens/s, %u reused)",
                stats.generated_tokens, rate(stats.generated_tokens - (stats.generated_tokens > 0), stats.decode_seconds),
                stats.prompt_tokens, rate(stats.prompt_tokens, stats.prefill_seconds), stats.reused_tokens);
  return text;
}

std::string describe(const ExpertStats& experts) {
  if (experts.reads == 0) return {};
  char text[120];
  std::snprintf(text, sizeof(text), "experts: %.1f %% of %llu reads from device memory; copied to it: ",
                100.0 * static_cast<double>(experts.hits) / static_cast<double>(experts.reads),
                static_cast<unsigned long long>(experts.reads));
  return text + format_bytes(experts.copied_bytes);
}

}  // namespace lahar::cli
