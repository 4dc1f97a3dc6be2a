#include "demo/fonts.h"

#include <fontconfig/fontconfig.h>
#include <imgui.h>

#include <algorithm>
#include <cstring>

namespace lahar::demo {
namespace {

// Latin, Greek, Cyrillic, punctuation, currency, letterlike signs, arrows, mathematics, boxes, shapes.
constexpr std::pair<uint32_t, uint32_t> kAlways[] = {{0x20, 0x24f},    {0x370, 0x3ff},   {0x400, 0x52f},   {0x2010, 0x2027},
                                                     {0x2030, 0x205e}, {0x20a0, 0x20bf}, {0x2100, 0x214f}, {0x2190, 0x22ff},
                                                     {0x2500, 0x25ff}, {0xfffd, 0xfffd}};
constexpr size_t kMostFaces = 8, kMostExtra = 4096, kMostPictures = 1024;
constexpr std::chrono::milliseconds kGather{250};

bool is_always(uint32_t c) {
  return std::any_of(std::begin(kAlways), std::end(kAlways), [c](const auto& r) { return c >= r.first && c <= r.second; });
}

struct DropPattern {
  void operator()(FcPattern* pattern) const { FcPatternDestroy(pattern); }
};

struct Font {
  std::string file;
  int index = 0;
  const FcCharSet* covered = nullptr;
  bool outlines = true;  // else it is made of pictures, which Dear ImGui cannot read
  bool has(uint32_t c) const { return FcCharSetHasChar(covered, c) == FcTrue; }
};
// False where the font has no file.
bool describe(FcPattern* pattern, Font* font) {
  FcChar8* file = nullptr;
  FcCharSet* covered = nullptr;
  FcBool outlines = FcTrue, colored = FcFalse;
  if (FcPatternGetString(pattern, FC_FILE, 0, &file) != FcResultMatch ||
      FcPatternGetCharSet(pattern, FC_CHARSET, 0, &covered) != FcResultMatch)
    return false;
  FcPatternGetInteger(pattern, FC_INDEX, 0, &font->index);
  FcPatternGetBool(pattern, FC_OUTLINE, 0, &outlines);
  FcPatternGetBool(pattern, FC_COLOR, 0, &colored);
  font->file = reinterpret_cast<const char*>(file);
  font->index &= 0xffff;
  font->covered = covered;
  font->outlines = outlines == FcTrue && colored == FcFalse;
  return true;
}

}  // namespace

void Fonts::DropSet::operator()(_FcFontSet* set) const { FcFontSetDestroy(set); }

Fonts::Fonts(bool use_system) : use_system_(use_system && FcInit() == FcTrue) {
  if (use_system_) sort_fonts();
}

Fonts::~Fonts() {
  sorted_.reset();
  if (use_system_) FcFini();
}

void Fonts::sort_fonts() {
  const std::unique_ptr<FcPattern, DropPattern> wanted(
      FcNameParse(reinterpret_cast<const FcChar8*>("sans-serif:scalable=true")));
  FcConfigSubstitute(nullptr, wanted.get(), FcMatchPattern);
  FcDefaultSubstitute(wanted.get());
  FcResult result = FcResultMatch;
  sorted_.reset(FcFontSort(nullptr, wanted.get(), FcTrue, nullptr, &result));
}

void Fonts::need(std::string_view shown) {
  for_each_character(shown, [this](uint32_t c, std::string_view) {
    if (c < 0x20 || c > 0xffff || (c >= WideText::kFirst && c <= WideText::kLast) || is_always(c)) return;
    if (extra_.size() < kMostExtra) extra_.insert(c);
  });
}

void Fonts::set_pixels(float pixels) {
  resized_ = resized_ || pixels != pixels_;
  pixels_ = pixels;
}

bool Fonts::due() const {
  if (resized_) return true;
  const bool grown = extra_.size() != built_extra_ || wide_.size() != built_wide_;
  return grown && std::chrono::steady_clock::now() - built_at_ > kGather;
}

// The faces to read outlines from; what none of them has stays in *missing.
std::vector<Fonts::Face> Fonts::faces(std::set<uint32_t>* missing) const {
  std::vector<Face> faces;
  for (int i = 0; sorted_ != nullptr && i < sorted_->nfont && faces.size() < kMostFaces; ++i) {
    Font font;
    if (!describe(sorted_->fonts[i], &font) || !font.outlines || (faces.empty() && !font.has('a'))) continue;
    Face face{font.file, font.index, {}};
    if (faces.empty()) face.ranges.assign(std::begin(kAlways), std::end(kAlways));
    for (auto it = missing->begin(); it != missing->end();) {
      if (!font.has(*it)) {
        ++it;
        continue;
      }
      face.ranges.emplace_back(*it, *it);
      it = missing->erase(it);
    }
    if (!face.ranges.empty()) faces.push_back(std::move(face));
    if (missing->empty()) break;
  }
  return faces;
}

// By whatever font has the character.
GlyphImage Fonts::draw(uint32_t character) const {
  if (WideText::is_invisible(character)) return {};
  for (int i = 0; sorted_ != nullptr && i < sorted_->nfont; ++i) {
    Font font;
    if (!describe(sorted_->fonts[i], &font) || !font.has(character)) continue;
    GlyphImage image = draw_glyph(font.file, font.index, character, pixels_);
    if (image.advance > 0) return image;
  }
  GlyphImage unknown = {};
  unknown.advance = -1;
  return unknown;
}

void Fonts::build() {
  ImFontAtlas& atlas = *ImGui::GetIO().Fonts;
  atlas.Clear();
  glyph_ranges_.clear();
  std::set<uint32_t> missing = extra_;
  const std::vector<Face> all = faces(&missing);
  glyph_ranges_.reserve(all.size());
  ImFontConfig config;
  config.OversampleH = 2;
  config.OversampleV = 1;
  for (const Face& face : all) {
    std::vector<unsigned short>& ranges = glyph_ranges_.emplace_back();
    for (const auto& [first, last] : face.ranges) {
      ranges.push_back(static_cast<unsigned short>(first));
      ranges.push_back(static_cast<unsigned short>(last));
    }
    ranges.push_back(0);
    config.FontNo = face.index;
    config.MergeMode = atlas.Fonts.Size > 0;
    atlas.AddFontFromFileTTF(face.file.c_str(), pixels_, &config, ranges.data());
  }
  if (atlas.Fonts.Size == 0) {
    ImFontConfig fallback;
    fallback.SizePixels = pixels_;
    atlas.AddFontDefault(&fallback);
  }
  add_pictures(missing);
  atlas.Build();
  finish_pictures();
  resized_ = false;
  built_extra_ = extra_.size(), built_wide_ = wide_.size();
  built_at_ = std::chrono::steady_clock::now();
}

// Room in the atlas for what fonts of outlines lack and for stand-ins.
void Fonts::add_pictures(const std::set<uint32_t>& missing) {
  ImFontAtlas& atlas = *ImGui::GetIO().Fonts;
  pictures_.clear();
  pictures_.push_back({WideText::kMark, -1, {}});
  for (const uint32_t c : missing) pictures_.push_back({c, -1, draw(c)});
  for (size_t i = 0; i < wide_.size() && pictures_.size() < kMostPictures; ++i)
    pictures_.push_back({WideText::kFirst + static_cast<uint32_t>(i), -1, draw(wide_[i])});
  for (Picture& picture : pictures_)
    if (picture.image.width > 0)
      picture.rect = atlas.AddCustomRectFontGlyph(atlas.Fonts[0], static_cast<ImWchar>(picture.id), picture.image.width,
                                                  picture.image.height, picture.image.advance);
}

// Copies the pictures into the atlas, sets them on the line, and gives what is not to be seen no width.
void Fonts::finish_pictures() {
  ImFontAtlas& atlas = *ImGui::GetIO().Fonts;
  ImFont& font = *atlas.Fonts[0];
  unsigned char* texture = nullptr;
  int stride = 0;
  atlas.GetTexDataAsRGBA32(&texture, &stride, nullptr);
  for (const Picture& picture : pictures_) {
    const GlyphImage& image = picture.image;
    const auto id = static_cast<ImWchar>(picture.id);
    if (image.advance < 0) continue;  // shown as what no font has
    if (picture.rect < 0) {
      font.AddGlyph(nullptr, id, 0, 0, 0, 0, 0, 0, 0, 0, image.advance);
      continue;
    }
    const ImFontAtlasCustomRect& place = *atlas.GetCustomRectByIndex(picture.rect);
    for (int y = 0; y < image.height; ++y)
      std::memcpy(texture + ((place.Y + y) * stride + place.X) * 4, &image.pixels[static_cast<size_t>(y * image.width) * 4],
                  static_cast<size_t>(image.width) * 4);
    for (ImFontGlyph& glyph : font.Glyphs) {
      if (glyph.Codepoint != id) continue;
      glyph.Colored = image.colored;
      glyph.X0 += image.left, glyph.X1 += image.left;
      glyph.Y0 += font.Ascent - image.top, glyph.Y1 += font.Ascent - image.top;
    }
  }
  font.BuildLookupTable();
}

}  // namespace lahar::demo
