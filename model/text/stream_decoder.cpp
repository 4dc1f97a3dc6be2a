#include "text/stream_decoder.h"

#include <utility>

#include "text/utf8.h"

namespace lahar {

std::string Utf8Stream::push(std::string_view bytes) {
  held_.append(bytes);
  const size_t ready = held_.size() - utf8::unfinished_tail(held_);
  std::string out = held_.substr(0, ready);
  held_.erase(0, ready);
  return out;
}

std::string Utf8Stream::flush() { return std::exchange(held_, {}); }

std::string StreamDecoder::push(int32_t id) {
  if (options_.skip_special && tokenizer_->is_special(id)) return {};
  return stream_.push(tokenizer_->piece(id));
}

}  // namespace lahar
