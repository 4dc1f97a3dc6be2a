// A tokenizer.json from anywhere: reading it, and tokenizing a text with it, must end in ids or in an error.
#include <cstddef>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <string_view>

#include "text/tokenizer.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const nlohmann::json config = {{"bos_token", "<s>"}, {"eos_token", {{"content", "</s>"}}}};
  const nlohmann::json generation = {{"eos_token_id", {1, 2}}};
  const auto tokenizer = lahar::Tokenizer::from_tokenizer_json(text, config, generation);
  if (!tokenizer.ok()) return 0;
  constexpr std::string_view kText =
      "<s>ab  abc a\xC3\xBC"
      "b\xFF 123 it's</s>\n\0x";
  const auto ids = (*tokenizer)->encode(kText, {.add_bos = true, .parse_special = true});
  if (ids.ok() && !(*tokenizer)->decode(*ids).ok()) __builtin_trap();  // its own ids are in its vocabulary
  const lahar::TextSegment segments[] = {{"<s>", true}, {kText, false}, {"</s>", true}};
  const auto marked = (*tokenizer)->encode(segments, {.parse_special = true});
  if (!marked.ok()) return 0;
  // What is not trusted never becomes special (single characters apart, which may be all that the alphabet has): at most
  // three tokens of three bytes or more fit into the trusted parts.
  int special = 0;
  for (const int32_t id : *marked)
    special += (*tokenizer)->is_special(id) && id != (*tokenizer)->unknown() && (*tokenizer)->piece(id).size() > 2;
  if (special > 2) __builtin_trap();
  return 0;
}
