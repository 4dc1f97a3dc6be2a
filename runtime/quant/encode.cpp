#include "quant/encode.h"

#include <cmath>
#include <string>

#include "quant/encode_blocks.h"
#include "quant/layout.h"
#include "quant/replane.h"

namespace lahar::quant {
namespace {

constexpr uint32_t kMostValues = 256;

using Encoder = void (*)(const float* x, const float* w, std::byte* block);

Encoder encoder_of(DType type) {
  switch (type) {
    case DType::kQ8_0: return detail::encode_q8_0;
    case DType::kQ4_0: return detail::encode_q4_0;
    case DType::kQ4_1: return detail::encode_q4_1;
    case DType::kQ4_K: return detail::encode_q4_k;
    case DType::kQ6_K: return detail::encode_q6_k;
    case DType::kIQ4_NL: return detail::encode_iq4_nl;
    case DType::kMXFP4: return detail::encode_mxfp4;
    default: return nullptr;
  }
}

bool is_plain(DType type) { return type == DType::kF32 || type == DType::kF16 || type == DType::kBF16; }

// Within what the sums of squares of a search can hold; far beyond what any scale can reach.
float bounded(float v) { return std::isfinite(v) ? std::clamp(v, -1e12f, 1e12f) : 0; }

void encode_plain(DType type, float value, std::byte* out) {
  const float v = std::isfinite(value) ? value : 0;
  if (type == DType::kF32) {
    std::memcpy(out, &v, sizeof v);
  } else if (type == DType::kF16) {
    detail::store_half(std::clamp(v, -65504.0f, 65504.0f), out);
  } else {
    const uint16_t bits = float_to_bf16(std::clamp(v, -0x1.fep127f, 0x1.fep127f));
    std::memcpy(out, &bits, sizeof bits);
  }
}

}  // namespace

bool can_encode(DType type) { return is_plain(type) || encoder_of(type) != nullptr; }

Status encode_rows(DType type, uint32_t cols, std::span<const float> values, std::span<const float> importance,
                   std::span<std::byte> out) {
  const auto refuse = [&](ErrorCode code, const std::string& why) {
    return Error{code, "encode_rows: " + std::string(to_string(type)) + ": " + why};
  };
  if (!can_encode(type)) return refuse(ErrorCode::kUnsupported, "there is no encoder");
  const uint64_t row_bytes = file_row_bytes(type, cols);
  if (row_bytes == 0)
    return refuse(ErrorCode::kInvalidArgument, "rows of " + std::to_string(cols) + " values are no whole blocks");
  const size_t rows = values.size() / cols;
  if (values.size() % cols != 0 || out.size() != rows * row_bytes || (!importance.empty() && importance.size() != cols))
    return refuse(ErrorCode::kInvalidArgument, "sizes do not fit rows of " + std::to_string(cols) + " values");

  const auto& [name, block_values, block_bytes] = lahar::traits(type);
  if (is_plain(type)) {
    for (size_t i = 0; i < values.size(); ++i) encode_plain(type, values[i], out.data() + i * block_bytes);
    return {};
  }
  const Encoder encode = encoder_of(type);
  std::array<float, kMostValues> x, ones;
  ones.fill(1);
  for (size_t b = 0; b < values.size() / block_values; ++b) {
    const auto from = values.subspan(b * block_values, block_values);
    std::transform(from.begin(), from.end(), x.begin(), bounded);
    const float* w = importance.empty() ? ones.data() : importance.data() + b * block_values % cols;
    encode(x.data(), w, out.data() + b * block_bytes);
  }
  return {};
}

void encode_f8_row(std::span<const float> row, uint32_t group, std::span<std::byte> out, std::span<float> scales) {
  for (size_t from = 0, g = 0; from < row.size(); from += group, ++g) {
    const auto part = row.subspan(from, std::min<size_t>(group, row.size() - from));
    const auto finite = [](float v) { return std::isfinite(v) ? v : 0; };
    float largest = 0;
    for (float v : part) largest = std::max(largest, std::fabs(finite(v)));
    const float d = largest / 448, inv = d < 1e-37f ? 0 : 1 / d;
    for (size_t i = 0; i < part.size(); ++i) out[from + i] = std::byte{float_to_e4m3(finite(part[i]) * inv)};
    scales[g] = d;
  }
}

}  // namespace lahar::quant
