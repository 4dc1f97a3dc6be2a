// Ids one by one into text that can be shown at once.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "text/tokenizer.h"

namespace lahar {

// Cuts a stream of bytes at whole UTF-8 characters. Loses and changes nothing: all outputs together are the input. Bytes
// that cannot become a character any more are passed on as they are, at once; at most three bytes are ever held back.
class Utf8Stream {
 public:
  std::string push(std::string_view bytes);
  std::string flush();  // what is held back (an unfinished character); empty afterwards

 private:
  std::string held_;
};

// Not thread-safe; one per sequence. The tokenizer must outlive it.
class StreamDecoder {
 public:
  explicit StreamDecoder(const Tokenizer& tokenizer, DecodeOptions options = {.skip_special = true})
      : tokenizer_(&tokenizer), options_(options) {}

  // The text that this id completes; may be empty. Ids outside the vocabulary give nothing.
  std::string push(int32_t id);
  std::string flush() { return stream_.flush(); }

 private:
  const Tokenizer* tokenizer_;
  DecodeOptions options_;
  Utf8Stream stream_;
};

}  // namespace lahar
