// The interface's fonts: the system's, found through fontconfig, with those that have what the first one lacks merged in;
// where there is none, the one inside Dear ImGui (Latin alone). What only fonts of pictures have, and what stands in for
// characters beyond U+FFFF (wide_text.h), is drawn into the atlas one by one.
// Thread rule: the thread of the interface.
#pragma once

#include <chrono>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "demo/glyph_image.h"
#include "demo/wide_text.h"

struct _FcFontSet;

namespace lahar::demo {

class Fonts {
 public:
  explicit Fonts(bool use_system = true);
  ~Fonts();

  // Takes note of characters that have to be shown, and of those that stand-ins are for.
  void need(std::string_view shown);
  void need(const WideText& wide) { wide_ = wide.characters(); }
  void set_pixels(float pixels);
  // Whether build() would give something else than it did the last time, and it is time for that: new characters wait a
  // little for others, since all are drawn anew.
  bool due() const;
  // Fills the atlas of the current ImGui context anew. Its texture has to be made again afterwards.
  void build();

 private:
  struct Face {
    std::string file;
    int index = 0;
    std::vector<std::pair<uint32_t, uint32_t>> ranges;  // that are taken from it, inclusive
  };
  struct Picture {
    uint32_t id = 0;  // the character in the interface's text
    int rect = -1;    // in the atlas; -1: it has no width
    GlyphImage image;
  };
  void sort_fonts();
  std::vector<Face> faces(std::set<uint32_t>* missing) const;
  GlyphImage draw(uint32_t character) const;
  void add_pictures(const std::set<uint32_t>& missing);
  void finish_pictures();

  bool use_system_;
  bool resized_ = true;
  float pixels_ = 15;
  std::set<uint32_t> extra_;    // needed beyond the ranges that are always there
  std::vector<uint32_t> wide_;  // that stand-ins are for
  size_t built_extra_ = 0, built_wide_ = 0;
  std::chrono::steady_clock::time_point built_at_{};
  struct DropSet {
    void operator()(_FcFontSet* set) const;
  };
  std::unique_ptr<_FcFontSet, DropSet> sorted_;            // the best first; each covers something that those before it lack
  std::vector<std::vector<unsigned short>> glyph_ranges_;  // that the atlas points to
  std::vector<Picture> pictures_;
};

}  // namespace lahar::demo
