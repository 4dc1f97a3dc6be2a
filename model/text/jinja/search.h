// Substring search in linear time, whatever the texts: templates and messages may be made to be slow.
#pragma once

#include <cstddef>
#include <string_view>
#include <vector>

namespace lahar::jinja {

class Finder {
 public:
  static constexpr size_t kNone = std::string_view::npos;

  explicit Finder(std::string_view needle);               // kept, not copied
  size_t find(std::string_view text, size_t from) const;  // the first at or behind `from`
  size_t rfind(std::string_view text) const;              // the last

 private:
  std::string_view needle_;
  std::vector<size_t> fallback_;  // for long needles: the longest border of each prefix
};

}  // namespace lahar::jinja
