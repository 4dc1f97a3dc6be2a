#include "demo/glyph_image.h"

#include <ft2build.h>
#include FT_FREETYPE_H

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <memory>

namespace lahar::demo {
namespace {

struct CloseLibrary {
  void operator()(FT_Library library) const { FT_Done_FreeType(library); }
};
struct CloseFace {
  void operator()(FT_Face face) const { FT_Done_Face(face); }
};
using Library = std::unique_ptr<FT_LibraryRec_, CloseLibrary>;
using Face = std::unique_ptr<FT_FaceRec_, CloseFace>;

// Chooses the size; returns by what the pictures have to be scaled still.
float choose_size(FT_Face face, float pixels) {
  if (FT_IS_SCALABLE(face) || face->num_fixed_sizes == 0) {
    FT_Set_Pixel_Sizes(face, 0, static_cast<FT_UInt>(std::lround(pixels)));
    return 1;
  }
  int best = 0;
  for (int i = 1; i < face->num_fixed_sizes; ++i)
    if (std::abs(face->available_sizes[i].height - pixels) < std::abs(face->available_sizes[best].height - pixels)) best = i;
  FT_Select_Size(face, best);
  return pixels / static_cast<float>(std::max<int>(face->available_sizes[best].height, 1));
}

// One pixel of a bitmap as RGBA.
void read_pixel(const FT_Bitmap& bitmap, unsigned x, unsigned y, float rgba[4]) {
  const unsigned char* row = bitmap.buffer + static_cast<ptrdiff_t>(y) * bitmap.pitch;
  rgba[0] = rgba[1] = rgba[2] = 255, rgba[3] = 0;
  if (bitmap.pixel_mode == FT_PIXEL_MODE_GRAY) rgba[3] = row[x];
  else if (bitmap.pixel_mode == FT_PIXEL_MODE_MONO) rgba[3] = (row[x / 8] >> (7 - x % 8) & 1) != 0 ? 255.0f : 0.0f;
  else if (bitmap.pixel_mode == FT_PIXEL_MODE_BGRA) {
    for (int k = 0; k < 3; ++k) rgba[k] = row[x * 4 + 2 - static_cast<unsigned>(k)];
    rgba[3] = row[x * 4 + 3];
  }
}

// Each pixel is the mean of those that it covers. FreeType's colors are multiplied by alpha, the picture's are not.
void resample(const FT_Bitmap& bitmap, GlyphImage& image) {
  const bool premultiplied = bitmap.pixel_mode == FT_PIXEL_MODE_BGRA;
  for (int y = 0; y < image.height; ++y)
    for (int x = 0; x < image.width; ++x) {
      const auto first = [](int i, unsigned from, int to) {
        return static_cast<unsigned>(i) * from / static_cast<unsigned>(to);
      };
      const unsigned x0 = first(x, bitmap.width, image.width), y0 = first(y, bitmap.rows, image.height);
      const unsigned x1 = std::max(first(x + 1, bitmap.width, image.width), x0 + 1);
      const unsigned y1 = std::max(first(y + 1, bitmap.rows, image.height), y0 + 1);
      float sum[4] = {}, one[4];
      for (unsigned v = y0; v < y1; ++v)
        for (unsigned u = x0; u < x1; ++u) {
          read_pixel(bitmap, u, v, one);
          for (int k = 0; k < 4; ++k) sum[k] += one[k];
        }
      const float n = static_cast<float>((x1 - x0) * (y1 - y0)), alpha = sum[3] / n;
      uint8_t* out = &image.pixels[(static_cast<size_t>(y) * static_cast<size_t>(image.width) + static_cast<size_t>(x)) * 4];
      for (int k = 0; k < 3; ++k) {
        const float c = premultiplied ? (alpha > 0 ? sum[k] / n * 255 / alpha : 0) : sum[k] / n;
        out[k] = static_cast<uint8_t>(std::clamp(c, 0.0f, 255.0f));
      }
      out[3] = static_cast<uint8_t>(alpha);
    }
}

}  // namespace

GlyphImage draw_glyph(const std::string& file, int index, uint32_t character, float pixels) {
  FT_Library raw_library = nullptr;
  if (FT_Init_FreeType(&raw_library) != 0) return {};
  const Library library(raw_library);
  FT_Face raw_face = nullptr;
  if (FT_New_Face(raw_library, file.c_str(), index, &raw_face) != 0) return {};
  const Face face(raw_face);
  const float scale = choose_size(raw_face, pixels);
  const FT_UInt glyph = FT_Get_Char_Index(raw_face, character);
  if (glyph == 0 || FT_Load_Glyph(raw_face, glyph, FT_LOAD_RENDER | FT_LOAD_COLOR) != 0) return {};

  const FT_GlyphSlotRec& slot = *raw_face->glyph;
  GlyphImage image;
  image.advance = static_cast<float>(slot.advance.x) / 64 * scale;
  image.left = static_cast<float>(slot.bitmap_left) * scale;
  image.top = static_cast<float>(slot.bitmap_top) * scale;
  image.colored = slot.bitmap.pixel_mode == FT_PIXEL_MODE_BGRA;
  if (slot.bitmap.width == 0 || slot.bitmap.rows == 0) return image;
  image.width = std::max(1, static_cast<int>(std::lround(static_cast<float>(slot.bitmap.width) * scale)));
  image.height = std::max(1, static_cast<int>(std::lround(static_cast<float>(slot.bitmap.rows) * scale)));
  image.pixels.resize(static_cast<size_t>(image.width) * static_cast<size_t>(image.height) * 4);
  resample(slot.bitmap, image);
  return image;
}

}  // namespace lahar::demo
