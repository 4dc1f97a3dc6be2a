// Blocks of 256 values whose sub-blocks have small integers for scales.
#include <optional>

#include "quant/encode_blocks.h"

namespace lahar::quant::detail {
namespace {

constexpr uint32_t kBlock = 256;
constexpr int kRounds = 2;  // of integers for the sub-blocks and fp16 scales for the block, in turns

namespace q4 {

constexpr uint32_t kSubs = 8, kSub = 32;

struct Scales {
  float d = 0, dmin = 0;  // as fp16 has them
  std::array<int, kSubs> scale{}, minimum{};
  float scale_of(uint32_t b) const { return d * static_cast<float>(scale[b]); }
  float offset_of(uint32_t b) const { return -dmin * static_cast<float>(minimum[b]); }
};

float sub_error(const float* x, const float* w, const Scales& s, uint32_t b) {
  return error_of<kSub>(x + b * kSub, w + b * kSub, s.scale_of(b), s.offset_of(b), round_nibble);
}

float block_error(const float* x, const float* w, const Scales& s) {
  float sum = 0;
  for (uint32_t b = 0; b < kSubs; ++b) sum += sub_error(x, w, s, b);
  return sum;
}

// The integers beside the present ones, wherever they leave less error.
void improve_integers(const float* x, const float* w, Scales& s) {
  for (uint32_t b = 0; b < kSubs; ++b) {
    const int scale = s.scale[b], minimum = s.minimum[b];
    std::array<int, 2> best{scale, minimum};
    float best_error = INFINITY;
    for (int ds = -1; ds <= 1; ++ds) {
      for (int dm = -1; dm <= 1; ++dm) {
        s.scale[b] = std::clamp(scale + ds, 0, 63);
        s.minimum[b] = std::clamp(minimum + dm, 0, 63);
        const float error = sub_error(x, w, s, b);
        if (error < best_error) best_error = error, best = {s.scale[b], s.minimum[b]};
      }
    }
    s.scale[b] = best[0], s.minimum[b] = best[1];
  }
}

// d and dmin by least squares, for the integers and quants as they are: x = d * (scale * q) - dmin * minimum.
Scales refit(const float* x, const float* w, Scales s) {
  double aa = 0, ab = 0, bb = 0, xa = 0, xb = 0;
  for (uint32_t b = 0; b < kSubs; ++b) {
    const float inv = inverse(s.scale_of(b)), offset = s.offset_of(b), minimum = static_cast<float>(s.minimum[b]);
    for (uint32_t i = b * kSub; i < (b + 1) * kSub; ++i) {
      const float a = static_cast<float>(s.scale[b]) * round_nibble((x[i] - offset) * inv);
      aa += w[i] * a * a, ab += w[i] * a * minimum, bb += w[i] * minimum * minimum;
      xa += w[i] * a * x[i], xb += w[i] * minimum * x[i];
    }
  }
  const double determinant = aa * bb - ab * ab;
  if (determinant > 1e-6 * aa * bb) {
    s.d = as_scale(static_cast<float>((xa * bb - xb * ab) / determinant));
    s.dmin = as_scale(static_cast<float>((xa * ab - xb * aa) / determinant));
  } else if (aa > 0) {
    s.d = as_scale(static_cast<float>((xa + s.dmin * ab) / aa));
  }
  return s;
}

Scales search(const float* x, const float* w) {
  std::array<Affine, kSubs> fits;
  float most_d = 0, most_m = 0;
  for (uint32_t b = 0; b < kSubs; ++b) {
    const float* sub = x + b * kSub;
    const float* weights = w + b * kSub;
    // The offset is never positive: where the best one would be, the scale alone is fitted.
    std::optional<float> alone;
    fits[b] = search_affine(sub, weights, [&](Affine a) {
      if (a.m <= 0) return a;
      if (!alone) alone = search_scale<kSub>(sub, weights, {13, 15, 0.25f, 8}, round_nibble);
      return Affine{std::max(*alone, 0.0f), 0};
    });
    most_d = std::max(most_d, fits[b].d), most_m = std::max(most_m, -fits[b].m);
  }
  Scales s;
  s.d = as_scale(most_d / 63), s.dmin = as_scale(most_m / 63);
  for (uint32_t b = 0; b < kSubs; ++b) {
    s.scale[b] = static_cast<int>(nearest(fits[b].d * inverse(s.d), 0, 63));
    s.minimum[b] = static_cast<int>(nearest(-fits[b].m * inverse(s.dmin), 0, 63));
  }
  return s;
}

void pack(const Scales& s, const float* x, std::byte* block) {
  store_half(s.d, block);
  store_half(s.dmin, block + 2);
  for (uint32_t b = 0; b < 4; ++b) {
    const int high_scale = s.scale[4 + b], high_minimum = s.minimum[4 + b];
    block[4 + b] = static_cast<std::byte>(s.scale[b] | high_scale >> 4 << 6);
    block[8 + b] = static_cast<std::byte>(s.minimum[b] | high_minimum >> 4 << 6);
    block[12 + b] = static_cast<std::byte>((high_scale & 15) | (high_minimum & 15) << 4);
  }
  std::memset(block + 16, 0, kBlock / 2);
  for (uint32_t b = 0; b < kSubs; ++b) {
    const float inv = inverse(s.scale_of(b)), offset = s.offset_of(b);
    for (uint32_t j = 0; j < kSub; ++j) {
      const auto q = static_cast<uint32_t>(round_nibble((x[b * kSub + j] - offset) * inv));
      block[16 + 32 * (b / 2) + j] |= static_cast<std::byte>(q << 4 * (b % 2));
    }
  }
}

}  // namespace q4

namespace q6 {

constexpr uint32_t kSubs = 16, kSub = 16;

float round(float v) { return nearest(v, -32, 31); }

struct Scales {
  float d = 0;  // as fp16 has it
  std::array<int, kSubs> scale{};
  float scale_of(uint32_t b) const { return d * static_cast<float>(scale[b]); }
};

float sub_error(const float* x, const float* w, const Scales& s, uint32_t b) {
  return error_of<kSub>(x + b * kSub, w + b * kSub, s.scale_of(b), 0, round);
}

float block_error(const float* x, const float* w, const Scales& s) {
  float sum = 0;
  for (uint32_t b = 0; b < kSubs; ++b) sum += sub_error(x, w, s, b);
  return sum;
}

void improve_integers(const float* x, const float* w, Scales& s) {
  for (uint32_t b = 0; b < kSubs; ++b) {
    const int scale = s.scale[b];
    int best = scale;
    float best_error = sub_error(x, w, s, b);
    for (const int beside : {scale - 1, scale + 1}) {
      s.scale[b] = std::clamp(beside, -128, 127);
      const float error = sub_error(x, w, s, b);
      if (error < best_error) best_error = error, best = s.scale[b];
    }
    s.scale[b] = best;
  }
}

Scales refit(const float* x, const float* w, Scales s) {
  double qx = 0, qq = 0;
  for (uint32_t b = 0; b < kSubs; ++b) {
    const Moments m = moments<kSub>(x + b * kSub, w + b * kSub, inverse(s.scale_of(b)), round);
    qx += double{m.qx} * s.scale[b], qq += double{m.qq} * s.scale[b] * s.scale[b];
  }
  if (qq > 0) s.d = as_scale(static_cast<float>(qx / qq));
  return s;
}

Scales search(const float* x, const float* w) {
  std::array<float, kSubs> scales;
  for (uint32_t b = 0; b < kSubs; ++b) scales[b] = search_scale<kSub>(x + b * kSub, w + b * kSub, {-34, 29, 0.5f, 7}, round);
  Scales s;
  s.d = as_scale(peak_of(scales.data(), kSubs) / -128);
  for (uint32_t b = 0; b < kSubs; ++b) s.scale[b] = static_cast<int>(nearest(scales[b] * inverse(s.d), -128, 127));
  return s;
}

void pack(const Scales& s, const float* x, std::byte* block) {
  std::memset(block, 0, 192);
  for (uint32_t i = 0; i < kBlock; ++i) {
    const uint32_t h = i / 128, p = i % 128 / 32, j = i % 32;
    const auto n = static_cast<uint32_t>(round(x[i] * inverse(s.scale_of(i / kSub))) + 32);
    block[64 * h + 32 * (p % 2) + j] |= static_cast<std::byte>((n & 15) << 4 * (p / 2));
    block[128 + 32 * h + j] |= static_cast<std::byte>(n >> 4 << 2 * p);
  }
  for (uint32_t b = 0; b < kSubs; ++b) block[192 + b] = static_cast<std::byte>(s.scale[b]);
  store_half(s.d, block + 208);
}

}  // namespace q6

}  // namespace

void encode_q4_k(const float* x, const float* w, std::byte* block) {
  q4::Scales s = q4::search(x, w);
  for (int i = 0; i < kRounds; ++i) {
    q4::improve_integers(x, w, s);
    const q4::Scales better = q4::refit(x, w, s);
    if (q4::block_error(x, w, better) < q4::block_error(x, w, s)) s = better;
  }
  q4::pack(s, x, block);
}

void encode_q6_k(const float* x, const float* w, std::byte* block) {
  q6::Scales s = q6::search(x, w);
  for (int i = 0; i < kRounds; ++i) {
    q6::improve_integers(x, w, s);
    const q6::Scales better = q6::refit(x, w, s);
    if (q6::block_error(x, w, better) < q6::block_error(x, w, s)) s = better;
  }
  q6::pack(s, x, block);
}

}  // namespace lahar::quant::detail
