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

void pack(DType dtype, const float* x, std::byte* out) {
  switch (dtype) {
    case DType::kF32: std::memcpy(out, x, sizeof(float)); return;
    case DType::kF16: put_half(out, *x); return;
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
  return dtype == DType::kF32 || dtype == DType::kF16 || dtype == DType::kQ8_0 || dtype == DType::kQ4_0 ||
         dtype == DType::kQ4_K;
}

void fill_random(DType dtype, uint64_t stream, uint64_t first, float mean, float deviation, std::span<std::byte> out) {
  constexpr size_t kChunk = 256;
  const size_t block_values = traits(dtype).block_values, block_bytes = traits(dtype).block_bytes;
  const size_t total = out.size() / block_bytes * block_values;
  std::array<float, kChunk> x;
  std::byte* at = out.data();
  for (size_t done = 0; done < total; done += kChunk) {
    const size_t n = std::min(kChunk, total - done);
    values(stream, first + done, mean, deviation, std::span(x).first(n));
    for (size_t i = 0; i < n; i += block_values, at += block_bytes) pack(dtype, x.data() + i, at);
  }
}

}  // namespace lahar::detail
