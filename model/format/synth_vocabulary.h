// A byte-level BPE vocabulary of a given size that can spell any text.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "format/gguf_writer.h"

namespace lahar::detail {

// The 256 bytes, letter sequences made by merges, and one control token, the last, that is both the first and the end of a
// text. 257 <= size <= 500000.
struct SynthVocabulary {
  std::vector<std::string> tokens;
  std::vector<int32_t> types;       // as tokenizer.ggml.token_type has them
  std::vector<std::string> merges;  // "left right", best first
};
SynthVocabulary make_synth_vocabulary(uint32_t size);

// `pre` names the pre-tokenizer as GGUF does ("gpt-2").
void add_synth_vocabulary(GgufWriter& writer, uint32_t size, std::string_view pre);

}  // namespace lahar::detail
