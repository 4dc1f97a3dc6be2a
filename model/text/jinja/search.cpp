#include "text/jinja/search.h"

namespace lahar::jinja {

namespace {
constexpr size_t kShort = 32;  // up to this length the plain search is linear enough
}

Finder::Finder(std::string_view needle) : needle_(needle) {
  if (needle.size() <= kShort) return;
  fallback_.resize(needle.size() + 1);
  size_t border = 0;
  for (size_t i = 1; i < needle.size(); ++i) {
    while (border > 0 && needle[i] != needle[border]) border = fallback_[border];
    if (needle[i] == needle[border]) ++border;
    fallback_[i + 1] = border;
  }
}

size_t Finder::find(std::string_view text, size_t from) const {
  if (fallback_.empty()) return text.find(needle_, from);
  size_t matched = 0;
  for (size_t i = from; i < text.size(); ++i) {
    while (matched > 0 && text[i] != needle_[matched]) matched = fallback_[matched];
    if (text[i] == needle_[matched]) ++matched;
    if (matched == needle_.size()) return i + 1 - matched;
  }
  return kNone;
}

size_t Finder::rfind(std::string_view text) const {
  if (fallback_.empty()) return text.rfind(needle_);
  size_t matched = 0, last = kNone;
  for (size_t i = 0; i < text.size(); ++i) {
    while (matched > 0 && text[i] != needle_[matched]) matched = fallback_[matched];
    if (text[i] == needle_[matched]) ++matched;
    if (matched == needle_.size()) {
      last = i + 1 - matched;
      matched = fallback_[matched];
    }
  }
  return last;
}

}  // namespace lahar::jinja
