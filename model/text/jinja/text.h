// A string that knows which of its bytes can be trusted: the template's own literals can, message data cannot.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace lahar::jinja {

class Text {
 public:
  struct Run {
    size_t end;  // offset behind the run's last byte; the run begins where the one before it ends
    bool trusted;
  };

  Text() = default;
  Text(std::string bytes, bool trusted);

  const std::string& bytes() const { return bytes_; }
  std::string_view view() const { return bytes_; }
  size_t size() const { return bytes_.size(); }
  bool empty() const { return bytes_.empty(); }
  const std::vector<Run>& runs() const { return runs_; }  // neighbours differ; none for an empty text
  bool all_trusted() const { return runs_.empty() || (runs_.size() == 1 && runs_[0].trusted); }
  bool trusted_at(size_t offset) const;  // offset < size()

  void append(std::string_view bytes, bool trusted);
  void append(const Text& other);
  void append(const Text& other, size_t begin, size_t end);  // bytes [begin, end) of other, which must not be *this
  Text substr(size_t begin, size_t end) const;
  void clear();

 private:
  void extend(size_t end, bool trusted);

  std::string bytes_;
  std::vector<Run> runs_;
};

}  // namespace lahar::jinja
