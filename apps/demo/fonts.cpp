#include "demo/fonts.h"

#include <fontconfig/fontconfig.h>
#include <imgui.h>

#include <algorithm>
#include <memory>

namespace lahar::demo {
namespace {

// Latin, Greek, Cyrillic, punctuation, currency, letterlike signs, arrows, mathematics, boxes, shapes.
constexpr std::pair<uint32_t, uint32_t> kAlways[] = {{0x20, 0x24f},    {0x370, 0x3ff},   {0x400, 0x52f},
                                                     {0x2010, 0x205e}, {0x20a0, 0x20bf}, {0x2100, 0x214f},
                                                     {0x2190, 0x22ff}, {0x2500, 0x25ff}, {0xfffd, 0xfffd}};
constexpr size_t kMostFaces = 8, kMostExtra = 4096;

bool is_always(uint32_t c) {
  return std::any_of(std::begin(kAlways), std::end(kAlways), [c](const auto& r) { return c >= r.first && c <= r.second; });
}

// Calls `take` with each character; what is no UTF-8 is left out.
template <typename Take>
void for_each_character(std::string_view text, const Take& take) {
  for (size_t i = 0; i < text.size();) {
    const auto lead = static_cast<unsigned char>(text[i]);
    const size_t length = lead < 0x80 ? 1 : lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : lead >= 0xc0 ? 2 : 0;
    if (length == 0 || i + length > text.size()) {
      ++i;
      continue;
    }
    uint32_t c = length == 1 ? lead : lead & (0x7fu >> length);
    for (size_t k = 1; k < length; ++k) c = c << 6 | (static_cast<unsigned char>(text[i + k]) & 0x3f);
    take(c);
    i += length;
  }
}

struct DropSet {
  void operator()(FcFontSet* set) const { FcFontSetDestroy(set); }
};
struct DropPattern {
  void operator()(FcPattern* pattern) const { FcPatternDestroy(pattern); }
};

// The system's sans-serif fonts, the best first; each covers something that those before it lack.
std::unique_ptr<FcFontSet, DropSet> sorted_fonts() {
  const std::unique_ptr<FcPattern, DropPattern> wanted(
      FcNameParse(reinterpret_cast<const FcChar8*>("sans-serif:scalable=true")));
  FcConfigSubstitute(nullptr, wanted.get(), FcMatchPattern);
  FcDefaultSubstitute(wanted.get());
  FcResult result = FcResultMatch;
  return std::unique_ptr<FcFontSet, DropSet>(FcFontSort(nullptr, wanted.get(), FcTrue, nullptr, &result));
}

}  // namespace

Fonts::Fonts(bool use_system) : use_system_(use_system && FcInit() == FcTrue) {}

Fonts::~Fonts() {
  if (use_system_) FcFini();
}

void Fonts::need(std::string_view utf8) {
  for_each_character(utf8, [this](uint32_t c) {
    if (c < 0x20 || c > 0xffff || is_always(c) || extra_.size() >= kMostExtra) return;
    if (extra_.insert(c).second) stale_ = true;
  });
}

void Fonts::set_pixels(float pixels) {
  if (pixels == pixels_) return;
  pixels_ = pixels;
  stale_ = true;
}

std::vector<Fonts::Face> Fonts::faces() const {
  std::vector<Face> faces;
  if (!use_system_) return faces;
  const auto fonts = sorted_fonts();
  std::set<uint32_t> missing = extra_;
  for (int i = 0; fonts != nullptr && i < fonts->nfont && faces.size() < kMostFaces; ++i) {
    FcChar8* file = nullptr;
    FcCharSet* covered = nullptr;
    int index = 0;
    if (FcPatternGetString(fonts->fonts[i], FC_FILE, 0, &file) != FcResultMatch ||
        FcPatternGetCharSet(fonts->fonts[i], FC_CHARSET, 0, &covered) != FcResultMatch)
      continue;
    FcPatternGetInteger(fonts->fonts[i], FC_INDEX, 0, &index);
    if (FcCharSetHasChar(covered, 'a') != FcTrue && faces.empty()) continue;
    Face face{reinterpret_cast<const char*>(file), index & 0xffff, {}};
    if (faces.empty()) face.ranges.assign(std::begin(kAlways), std::end(kAlways));
    for (auto it = missing.begin(); it != missing.end();) {
      if (FcCharSetHasChar(covered, *it) != FcTrue) {
        ++it;
        continue;
      }
      face.ranges.emplace_back(*it, *it);
      it = missing.erase(it);
    }
    if (!face.ranges.empty()) faces.push_back(std::move(face));
    if (missing.empty()) break;
  }
  return faces;
}

void Fonts::build() {
  ImFontAtlas& atlas = *ImGui::GetIO().Fonts;
  atlas.Clear();
  glyph_ranges_.clear();
  const std::vector<Face> all = faces();
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
  atlas.Build();
  stale_ = false;
}

}  // namespace lahar::demo
