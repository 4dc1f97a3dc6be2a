// The last values of something that is measured again and again.
#pragma once

#include <algorithm>
#include <vector>

namespace lahar::demo {

class Series {
 public:
  explicit Series(size_t capacity) : capacity_(capacity) {}
  void add(float value) {
    if (values_.size() == capacity_) values_.erase(values_.begin());
    values_.push_back(value);
  }
  void clear() { values_.clear(); }
  const std::vector<float>& values() const { return values_; }
  float last() const { return values_.empty() ? 0 : values_.back(); }
  float largest() const { return values_.empty() ? 0 : *std::max_element(values_.begin(), values_.end()); }
  // The value that `share` (0 to 1) of all do not exceed; 0 where there is none.
  float quantile(double share) const {
    if (values_.empty()) return 0;
    std::vector<float> sorted = values_;
    std::sort(sorted.begin(), sorted.end());
    return sorted[std::min(sorted.size() - 1, static_cast<size_t>(share * static_cast<double>(sorted.size())))];
  }

 private:
  size_t capacity_;
  std::vector<float> values_;
};

}  // namespace lahar::demo
