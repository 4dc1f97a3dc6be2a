// A single character as a picture, by FreeType: also from fonts that are pictures themselves, as color emoji are.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace lahar::demo {

struct GlyphImage {
  int width = 0, height = 0;
  float left = 0, top = 0;  // of the picture from the pen, top above the baseline; pixels
  float advance = 0;        // of the pen
  bool colored = false;
  std::vector<uint8_t> pixels;  // RGBA, alpha apart from color; white where it has no color of its own
};

// `pixels`: of the font's em. Empty (no width, no advance) where the font cannot be read or lacks the character.
GlyphImage draw_glyph(const std::string& file, int index, uint32_t character, float pixels);

}  // namespace lahar::demo
