// From chat messages to token ids: the model's own template and its tokenizer together.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/result.h"
#include "format/model_source.h"
#include "text/chat_template.h"
#include "text/tokenizer.h"

namespace lahar {

// Immutable; any thread.
class ChatFormat {
 public:
  // A source without a template gives a format that has none: see has_template(). Errors: those of ChatTemplate::parse.
  // `tokenizer` must outlive the result.
  static Result<std::unique_ptr<ChatFormat>> from_source(const ModelSource& source, const Tokenizer& tokenizer);

  bool has_template() const { return template_.has_value(); }
  // bos_token and eos_token are filled in where the input leaves them out. Without a template, the messages' contents are
  // put one after the other, separated by line ends, so that a base model continues them.
  Result<Rendering> render(ChatInput input) const;
  // The rendering's ids: only what the template itself wrote can become a special token. bos is put in front where the
  // model wants it and the template has not written it.
  Result<std::vector<int32_t>> encode(const Rendering& rendering) const;

 private:
  explicit ChatFormat(const Tokenizer& tokenizer) : tokenizer_(tokenizer) {}
  const Tokenizer& tokenizer_;
  std::optional<ChatTemplate> template_;
};

// The ids of a rendering, as ChatFormat::encode gives them.
Result<std::vector<int32_t>> encode_rendering(const Tokenizer& tokenizer, const Rendering& rendering, bool add_bos);

// The text of the source's chat template; nullopt where it has none.
std::optional<std::string> chat_template_text(const ModelSource& source);

}  // namespace lahar
