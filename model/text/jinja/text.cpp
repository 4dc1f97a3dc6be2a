#include "text/jinja/text.h"

#include <algorithm>

namespace lahar::jinja {

namespace {
// The run that holds the byte at `offset`.
size_t run_of(const std::vector<Text::Run>& runs, size_t offset) {
  return static_cast<size_t>(
      std::upper_bound(runs.begin(), runs.end(), offset, [](size_t o, const Text::Run& run) { return o < run.end; }) -
      runs.begin());
}
}  // namespace

Text::Text(std::string bytes, bool trusted) : bytes_(std::move(bytes)) {
  if (!bytes_.empty()) runs_.push_back({bytes_.size(), trusted});
}

bool Text::trusted_at(size_t offset) const { return runs_[run_of(runs_, offset)].trusted; }

void Text::extend(size_t end, bool trusted) {
  if (!runs_.empty() && runs_.back().trusted == trusted) {
    runs_.back().end = end;
  } else {
    runs_.push_back({end, trusted});
  }
}

void Text::append(std::string_view bytes, bool trusted) {
  if (bytes.empty()) return;
  bytes_ += bytes;
  extend(bytes_.size(), trusted);
}

void Text::append(const Text& other) { append(other, 0, other.size()); }

void Text::append(const Text& other, size_t begin, size_t end) {
  if (begin >= end) return;
  const size_t shift = bytes_.size();  // where `begin` lands
  bytes_.append(other.bytes_, begin, end - begin);
  for (size_t r = run_of(other.runs_, begin); r < other.runs_.size(); ++r) {
    const size_t run_end = std::min(other.runs_[r].end, end);
    extend(shift + (run_end - begin), other.runs_[r].trusted);
    if (run_end == end) break;
  }
}

Text Text::substr(size_t begin, size_t end) const {
  Text out;
  out.append(*this, begin, end);
  return out;
}

void Text::clear() {
  bytes_.clear();
  runs_.clear();
}

}  // namespace lahar::jinja
