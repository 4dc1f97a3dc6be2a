// Chat templates: a bounded interpreter of the Jinja2 language as chat templates use it, with the environment that
// Hugging Face transformers gives them (trim_blocks, lstrip_blocks, immutable sandbox, loop controls, generation blocks).
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/result.h"

namespace lahar {

namespace jinja {
struct Program;
}

// What a template is rendered with. Objects keep the order of their keys (templates print them), hence ordered_json.
struct ChatInput {
  nlohmann::ordered_json messages = nlohmann::ordered_json::array();
  nlohmann::ordered_json tools;      // null: the variable is none
  nlohmann::ordered_json documents;  // null: the variable is none
  bool add_generation_prompt = false;
  std::optional<std::string> bos_token;               // absent: undefined in the template
  std::optional<std::string> eos_token;               // absent: undefined in the template
  std::map<std::string, std::string> special_tokens;  // others (unk_token, pad_token, ...), trusted like the two above
  std::optional<std::string> now;                     // local time, "YYYY-MM-DDTHH:MM:SS"; absent: the system's clock
  nlohmann::ordered_json extra = nlohmann::ordered_json::object();  // more variables (enable_thinking, ...), not trusted

  // From one object: the keys above, everything else goes to extra. Error: kFormat.
  static Result<ChatInput> from_json(const nlohmann::ordered_json& object);
};

// A run of the rendering. Trusted text is the template's own (its literals and the special tokens it was given);
// everything derived from messages, tools, documents and extra variables is not, except a role out of the usual ones
// (user, assistant, ...), because templates build special tokens from it. A tokenizer may recognise a special token only
// where all its bytes are trusted; a border between segments means nothing else, text is to be tokenized across it.
struct RenderedSegment {
  std::string text;
  bool trusted = true;
};

struct Rendering {
  std::vector<RenderedSegment> segments;  // none is empty, neighbours differ in trust
  std::string text() const;
};

// Bounds of one rendering; beyond them it ends with kLimit.
struct TemplateLimits {
  uint64_t steps = 20'000'000;          // evaluated nodes, iterated items, 16 bytes of text each
  uint64_t output_bytes = 64ULL << 20;  // of the rendering and of any one string
  uint32_t items = 1'000'000;           // of any one list
  uint32_t depth = 400;                 // nested evaluation
};

// Immutable; copies share the parsed program. Thread rule: render() may be called from any number of threads at once.
// Safe for untrusted templates and untrusted input.
class ChatTemplate {
 public:
  // kFormat ("line N: ...") for a syntax error, an unknown tag, filter or test; kLimit for a template too large or deep.
  static Result<ChatTemplate> parse(std::string_view source);

  // kRefused: the template raised an exception (its message and nothing else), or failed while it ran (a type error, an
  // attribute of an undefined value: "line N: UndefinedError: ..."); kLimit; kInvalidArgument for a malformed `now`.
  Result<Rendering> render(const ChatInput& input, const TemplateLimits& limits = {}) const;

 private:
  explicit ChatTemplate(std::shared_ptr<const jinja::Program> program) : program_(std::move(program)) {}
  std::shared_ptr<const jinja::Program> program_;
};

}  // namespace lahar
