// A chat template from anywhere, rendered with a conversation: it must end in a text within bounds or in an error.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "text/chat_template.h"

namespace {

void require(bool holds) {
  if (!holds) __builtin_trap();
}

const lahar::ChatInput& conversation() {
  static const lahar::ChatInput input = [] {
    auto parsed = lahar::ChatInput::from_json(nlohmann::ordered_json::parse(R"({
      "messages": [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": [{"type": "text", "text": "Hi \"there\" <b> \u00e4\n"}, {"type": "image"}]},
        {"role": "assistant", "content": null, "tool_calls": [{"id": "abc", "function": {"name": "f", "arguments": {"n": 1.5, "l": [1, true]}}}]},
        {"role": "tool", "content": "{\"t\": 4}", "name": "f"}],
      "tools": [{"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {"n": {"type": "number"}}}}}],
      "add_generation_prompt": true, "bos_token": "<s>", "eos_token": "</s>", "now": "2026-01-15T12:30:00", "x": 5})"));
    require(parsed.ok());
    return *parsed;
  }();
  return input;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view source(reinterpret_cast<const char*>(data), size);
  const auto parsed = lahar::ChatTemplate::parse(source);
  if (!parsed.ok()) {
    const lahar::ErrorCode code = parsed.error().code;
    require(code == lahar::ErrorCode::kFormat || code == lahar::ErrorCode::kLimit);
    return 0;
  }
  constexpr lahar::TemplateLimits kLimits{.steps = 100'000, .output_bytes = 1 << 20, .items = 10'000};
  const auto rendering = parsed->render(conversation(), kLimits);
  if (!rendering.ok()) {
    const lahar::ErrorCode code = rendering.error().code;
    require(code == lahar::ErrorCode::kRefused || code == lahar::ErrorCode::kLimit);
    return 0;
  }
  require(rendering->text().size() <= kLimits.output_bytes);
  for (size_t i = 0; i < rendering->segments.size(); ++i) {
    require(!rendering->segments[i].text.empty());
    require(i == 0 || rendering->segments[i].trusted != rendering->segments[i - 1].trusted);
  }
  return 0;
}
