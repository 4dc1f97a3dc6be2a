// The interface's fonts: the system's, found through fontconfig, with those that have what the first one lacks merged in;
// where there is none, the one inside Dear ImGui (Latin alone).
// Thread rule: the thread of the interface.
#pragma once

#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace lahar::demo {

class Fonts {
 public:
  explicit Fonts(bool use_system = true);
  ~Fonts();

  // Takes note of characters that have to be shown. Those beyond U+FFFF cannot be.
  void need(std::string_view utf8);
  void set_pixels(float pixels);
  // Whether build() would give something else than it did the last time.
  bool stale() const { return stale_; }
  // Fills the atlas of the current ImGui context anew. Its texture has to be made again afterwards.
  void build();

 private:
  struct Face {
    std::string file;
    int index = 0;
    std::vector<std::pair<uint32_t, uint32_t>> ranges;  // that are taken from it, inclusive
  };
  std::vector<Face> faces() const;
  bool use_system_;
  bool stale_ = true;
  float pixels_ = 15;
  std::set<uint32_t> extra_;                               // needed beyond the ranges that are always there
  std::vector<std::vector<unsigned short>> glyph_ranges_;  // that the atlas points to
};

}  // namespace lahar::demo
