#include "format/synth_vocabulary.h"

#include <span>

namespace lahar::detail {
namespace {

constexpr std::string_view kLetters = "etaoinshrdlcumwfgypbvkjxqz";  // common ones first
constexpr int32_t kNormal = 1, kControl = 3;
constexpr std::string_view kSpace = "\u0120";

void append_utf8(std::string& out, uint32_t code) {
  if (code < 0x80) {
    out += static_cast<char>(code);
  } else {
    out += static_cast<char>(0xc0 | code >> 6);
    out += static_cast<char>(0x80 | (code & 0x3f));
  }
}

// Byte-level BPE writes bytes that are printable in Latin-1 as themselves, the others as U+0100 and up, in their order.
std::vector<std::string> byte_spellings() {
  std::vector<std::string> out(256);
  uint32_t next = 0x100;
  for (uint32_t byte = 0; byte < 256; ++byte) {
    const bool printable = (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;
    append_utf8(out[byte], printable ? byte : next++);
  }
  return out;
}

// All sequences of n letters
std::vector<std::string> letter_sequences(int n) {
  std::vector<std::string> out = {""};
  for (int i = 0; i < n; ++i) {
    std::vector<std::string> longer;
    longer.reserve(out.size() * kLetters.size());
    for (const std::string& prefix : out)
      for (const char letter : kLetters) longer.push_back(prefix + letter);
    out = std::move(longer);
  }
  return out;
}

}  // namespace

SynthVocabulary make_synth_vocabulary(uint32_t size) {
  SynthVocabulary v;
  v.tokens = byte_spellings();
  const auto full = [&] { return v.tokens.size() + 1 >= size; };
  const auto merge = [&](std::string_view left, std::string_view right) {
    if (full()) return;
    v.merges.push_back(std::string(left) + " " + std::string(right));
    v.tokens.push_back(std::string(left) + std::string(right));
  };
  // Both sides of a merge are tokens before it.
  for (int n = 1; n <= 4 && !full(); ++n) {
    for (const std::string& text : letter_sequences(n)) {
      const size_t half = n == 4 ? 2 : 1;
      if (n > 1) merge(std::string_view(text).substr(0, n - half), std::string_view(text).substr(n - half));
    }
    if (n < 4)
      for (const std::string& text : letter_sequences(n)) merge(kSpace, text);
  }
  v.types.assign(v.tokens.size(), kNormal);
  v.tokens.push_back("<|endoftext|>");
  v.types.push_back(kControl);
  return v;
}

void add_synth_vocabulary(GgufWriter& writer, uint32_t size, std::string_view pre) {
  const SynthVocabulary v = make_synth_vocabulary(size);
  const auto last = static_cast<uint32_t>(v.tokens.size() - 1);
  writer.add("tokenizer.ggml.model", "gpt2");
  writer.add("tokenizer.ggml.pre", pre);
  writer.add("tokenizer.ggml.tokens", std::span(v.tokens));
  writer.add("tokenizer.ggml.token_type", std::span(v.types));
  writer.add("tokenizer.ggml.merges", std::span(v.merges));
  writer.add("tokenizer.ggml.bos_token_id", last);
  writer.add("tokenizer.ggml.eos_token_id", last);
  writer.add("tokenizer.ggml.add_bos_token", false);
}

}  // namespace lahar::detail
