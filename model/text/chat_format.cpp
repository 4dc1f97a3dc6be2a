#include "text/chat_format.h"

namespace lahar {

std::optional<std::string> chat_template_text(const ModelSource& source) {
  if (source.hf() != nullptr) return source.hf()->chat_template();
  const auto text = source.gguf()->metadata().string("tokenizer.chat_template");
  return text ? std::optional<std::string>(*text) : std::nullopt;
}

Result<std::unique_ptr<ChatFormat>> ChatFormat::from_source(const ModelSource& source, const Tokenizer& tokenizer) {
  auto format = std::unique_ptr<ChatFormat>(new ChatFormat(tokenizer));
  if (const auto text = chat_template_text(source)) {
    auto parsed = ChatTemplate::parse(*text);
    if (!parsed.ok()) return annotate(std::move(parsed).error(), source.name() + ": chat template");
    format->template_ = std::move(parsed).value();
  }
  return format;
}

Result<Rendering> ChatFormat::render(ChatInput input) const {
  if (!template_) {
    std::string text;
    for (const auto& message : input.messages) {
      const auto content = message.find("content");
      if (content == message.end() || !content->is_string()) continue;
      if (!text.empty()) text += '\n';
      text += content->get_ref<const std::string&>();
    }
    Rendering rendering;
    if (!text.empty()) rendering.segments.push_back({std::move(text), false});
    return rendering;
  }
  const auto name = [&](std::optional<int32_t> id) { return std::string(tokenizer_.piece(*id)); };
  if (!input.bos_token && tokenizer_.bos()) input.bos_token = name(tokenizer_.bos());
  if (!input.eos_token && tokenizer_.eos()) input.eos_token = name(tokenizer_.eos());
  return template_->render(input);
}

Result<std::vector<int32_t>> ChatFormat::encode(const Rendering& rendering) const {
  return encode_rendering(tokenizer_, rendering, tokenizer_.add_bos_default());
}

Result<std::vector<int32_t>> encode_rendering(const Tokenizer& tokenizer, const Rendering& rendering, bool add_bos) {
  std::vector<TextSegment> segments;
  for (const RenderedSegment& s : rendering.segments) segments.push_back({s.text, s.trusted});
  LAHAR_ASSIGN(std::vector<int32_t> ids, tokenizer.encode(segments, {.add_bos = false, .parse_special = true}));
  if (add_bos && tokenizer.bos() && (ids.empty() || ids[0] != *tokenizer.bos())) ids.insert(ids.begin(), *tokenizer.bos());
  return ids;
}

}  // namespace lahar
