#include "format/synth_blocks.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>

#include "quant/float_bits.h"

namespace lahar::detail {
namespace {

// Finalizer of SplitMix64 (Steele, Lea, Flood: Fast splittable pseudorandom number generators, 2014).
uint64_t mix(uint64_t x) {
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
  return x ^ (x >> 31);
}

// Two values lie in one 64-bit draw.
uint64_t draw(uint64_t stream, uint64_t pair) { return mix(stream + (pair + 1) * 0x9e3779b97f4a7c15u); }

// The sum of a word's four bytes: mean 510, variance 4 * (2^16 - 1) / 12.
float shaped(uint32_t word) {
  const uint32_t pairs = (word & 0x00ff00ffu) + (word >> 8 & 0x00ff00ffu);
  const auto sum = static_cast<int32_t>((pairs & 0xffffu) + (pairs >> 16));
  constexpr float kInverseDeviation = 1.0f / 147.80054f;
  return static_cast<float>(sum - 510) * kInverseDeviation;
}

// `first` is even.
void values(uint64_t stream, uint64_t first, float mean, float deviation, std::span<float> out) {
  for (size_t i = 0; i < out.size(); i += 2) {
    const uint64_t word = draw(stream, (first + i) / 2);
    out[i] = mean + deviation * shaped(static_cast<uint32_t>(word));
    if (i + 1 < out.size()) out[i + 1] = mean + deviation * shaped(static_cast<uint32_t>(word >> 32));
  }
}

void put_half(std::byte* at, float value) {
  const uint16_t half = quant::float_to_half(value);
  std::memcpy(at, &half, sizeof(half));
}

// `value` as it will be read back
float as_half(float value) { return quant::half_to_float(quant::float_to_half(value)); }

float inverse(float value) { return value != 0 ? 1 / value : 0; }

int rounded(float value, int least, int most) { return std::clamp(static_cast<int>(std::lrintf(value)), least, most); }

// Block layouts: the format's header in runtime/quant.
void pack_q8_0(const float* x, std::byte* out) {
  float peak = 0;
  for (int i = 0; i < 32; ++i) peak = std::max(peak, std::abs(x[i]));
  const float d = as_half(peak / 127);
  put_half(out, d);
  const float scale = inverse(d);
  for (int i = 0; i < 32; ++i) out[2 + i] = static_cast<std::byte>(rounded(x[i] * scale, -127, 127));
}

// The value furthest from zero becomes -8, the end of the range that has one step more.
void pack_q4_0(const float* x, std::byte* out) {
  float peak = 0;
  for (int i = 0; i < 32; ++i)
    if (std::abs(x[i]) > std::abs(peak)) peak = x[i];
  const float d = as_half(peak / -8);
  put_half(out, d);
  const float scale = inverse(d);
  for (int i = 0; i < 16; ++i) {
    const int low = rounded(x[i] * scale + 8, 0, 15), high = rounded(x[16 + i] * scale + 8, 0, 15);
    out[2 + i] = static_cast<std::byte>(low | high << 4);
  }
}

void pack_q4_k(const float* x, std::byte* out) {
  std::array<float, 8> steps, depths;  // of each sub-block: the size of a step, and how far its least value is below zero
  for (int b = 0; b < 8; ++b) {
    const auto [least, most] = std::minmax_element(x + 32 * b, x + 32 * b + 32);
    depths[b] = std::max(0.0f, -*least);
    steps[b] = (std::max(*most, 0.0f) + depths[b]) / 15;
  }
  const float d = as_half(*std::max_element(steps.begin(), steps.end()) / 63);
  const float dmin = as_half(*std::max_element(depths.begin(), depths.end()) / 63);
  put_half(out, d);
  put_half(out + 2, dmin);
  std::memset(out + 4, 0, 12 + 128);
  std::byte* packed = out + 4;
  std::byte* nibbles = out + 16;
  const auto merge = [](std::byte& at, int bits) { at |= static_cast<std::byte>(bits); };
  for (int b = 0; b < 8; ++b) {
    const int scale = rounded(steps[b] * inverse(d), 0, 63), depth = rounded(depths[b] * inverse(dmin), 0, 63);
    if (b < 4) {
      merge(packed[b], scale);
      merge(packed[4 + b], depth);
    } else {
      merge(packed[4 + b], (scale & 15) | (depth & 15) << 4);
      merge(packed[b - 4], scale >> 4 << 6);
      merge(packed[b], depth >> 4 << 6);
    }
    const float step = inverse(d * static_cast<float>(scale)), base = dmin * static_cast<float>(depth);
    for (int j = 0; j < 32; ++j)
      merge(nibbles[32 * (b / 2) + j], rounded((x[32 * b + j] + base) * step, 0, 15) << 4 * (b % 2));
  }
}

// Formats whose quants are random bits: what is written over the bits so that the values have a mean of about 0 and a
// deviation of 1. A half at `offset` is `factor`; the factors come from the distribution of uniform bits in the format.
struct Half {
  uint32_t offset = 0;
  float factor = 0;
};
struct RandomBits {
  DType dtype;
  Half first, second;  // second: a minimum; none where its factor is 0
};
constexpr RandomBits kRandomBits[] = {
    {DType::kQ4_1, {0, 1 / 4.610f}, {2, -7.5f / 4.610f}},
    {DType::kQ5_0, {0, 1 / 9.247f}, {}},
    {DType::kQ5_1, {0, 1 / 9.233f}, {2, -15.5f / 9.233f}},
    {DType::kQ2_K, {80, 1 / 13.87f}, {82, 1.5f / 13.87f}},
    {DType::kQ3_K, {108, 1 / 43.34f}, {}},
    {DType::kQ5_K, {0, 1 / 526.9f}, {2, 15.5f / 526.9f}},
    {DType::kQ6_K, {208, 1 / 1365.7f}, {}},
    {DType::kIQ4_NL, {0, 1 / 67.44f}, {}},
    {DType::kIQ4_XS, {0, 1 / 1246.3f}, {}},
    {DType::kIQ3_S, {0, 1 / 140.24f}, {}},
    {DType::kMXFP4, {}, {}},
    {DType::kTQ1_0, {52, 1 / 0.8165f}, {}},
    {DType::kTQ2_0, {64, 1 / 0.7071f}, {}},
};

const RandomBits* random_bits(DType dtype) {
  const auto* found =
      std::find_if(std::begin(kRandomBits), std::end(kRandomBits), [&](const auto& r) { return r.dtype == dtype; });
  return found == std::end(kRandomBits) ? nullptr : found;
}

// A power of two, the larger one as often as it takes for the mean square of fp4's values (8.5625) to come out right.
std::byte power_of_two(float deviation, uint64_t word) {
  const float wanted = deviation / std::sqrt(8.5625f);
  int exponent = 0;
  const float fraction = std::frexp(wanted, &exponent);  // in [0.5, 1) of 2^exponent
  const double larger = (double{fraction} * fraction * 4 - 1) / 3;
  const bool large = static_cast<double>(word >> 40) * 0x1p-24 < larger;
  return static_cast<std::byte>(std::clamp(127 + exponent - (large ? 0 : 1), 1, 254));
}

void fill_bits(const RandomBits& bits, uint64_t stream, uint64_t block, float deviation, std::span<std::byte> out) {
  constexpr uint64_t kMostWords = 64;  // of a block
  for (size_t i = 0; i < out.size(); i += sizeof(uint64_t)) {
    const uint64_t word = draw(stream, block * kMostWords + i / sizeof(word));
    std::memcpy(out.data() + i, &word, std::min(sizeof(word), out.size() - i));
  }
  if (bits.dtype == DType::kMXFP4) {
    out[0] = power_of_two(deviation, draw(stream, block * kMostWords + kMostWords - 1));
    return;
  }
  if (bits.dtype == DType::kTQ2_0)  // three values out of four: 3 becomes 1
    for (std::byte& b : out.first(64)) b &= ~((b & b >> 1 & std::byte{0x55}) << 1);
  put_half(out.data() + bits.first.offset, bits.first.factor * deviation);
  if (bits.second.factor != 0) put_half(out.data() + bits.second.offset, bits.second.factor * deviation);
}

void pack(DType dtype, const float* x, std::byte* out) {
  switch (dtype) {
    case DType::kF32: std::memcpy(out, x, sizeof(float)); return;
    case DType::kF16: put_half(out, *x); return;
    case DType::kBF16: {
      uint32_t word = 0;
      std::memcpy(&word, x, sizeof(word));
      const auto upper = static_cast<uint16_t>((word + 0x7fffu + (word >> 16 & 1)) >> 16);
      std::memcpy(out, &upper, sizeof(upper));
      return;
    }
    case DType::kQ8_0: return pack_q8_0(x, out);
    case DType::kQ4_0: return pack_q4_0(x, out);
    case DType::kQ4_K: return pack_q4_k(x, out);
    default: return;
  }
}

}  // namespace

float random_value(uint64_t stream, uint64_t index) {
  return shaped(static_cast<uint32_t>(draw(stream, index / 2) >> (index % 2 ? 32 : 0)));
}

bool can_fill(DType dtype) {
  return dtype == DType::kF32 || dtype == DType::kF16 || dtype == DType::kBF16 || dtype == DType::kQ8_0 ||
         dtype == DType::kQ4_0 || dtype == DType::kQ4_K || random_bits(dtype) != nullptr;
}

void fill_random(DType dtype, uint64_t stream, uint64_t first, float mean, float deviation, std::span<std::byte> out) {
  constexpr size_t kChunk = 256;
  const size_t block_values = traits(dtype).block_values, block_bytes = traits(dtype).block_bytes;
  const size_t total = out.size() / block_bytes * block_values;
  if (const RandomBits* bits = random_bits(dtype)) {
    for (size_t b = 0; b < total / block_values; ++b)
      fill_bits(*bits, stream, first / block_values + b, deviation, out.subspan(b * block_bytes, block_bytes));
    return;
  }
  std::array<float, kChunk> x;
  std::byte* at = out.data();
  for (size_t done = 0; done < total; done += kChunk) {
    const size_t n = std::min(kChunk, total - done);
    values(stream, first + done, mean, deviation, std::span(x).first(n));
    for (size_t i = 0; i < n; i += block_values, at += block_bytes) pack(dtype, x.data() + i, at);
  }
}

}  // namespace lahar::detail
