#include "quant/replane.h"

#include <cstring>
#include <string>

#include "quant/formats.h"

namespace lahar::quant {
namespace {

Error mismatch(std::string_view what, uint64_t expected, uint64_t found) {
  return {ErrorCode::kInvalidArgument,
          std::string(what) + ": expected " + std::to_string(expected) + " bytes, found " + std::to_string(found)};
}

// The pieces of `blocks` blocks that belong to `plane`, one behind the other.
template <typename Format>
void cut_row(const std::byte* in, uint32_t blocks, uint32_t plane, std::byte* out) {
  if constexpr (Format::kValues == 1) {
    std::memcpy(out, in, size_t{blocks} * Format::kBytes);
  } else {
    [&]<size_t... I>(std::index_sequence<I...>) {
      (
          [&] {
            constexpr Piece piece = Format::kPieces[I];
            if (piece.plane != plane) return;
            for (uint32_t b = 0; b < blocks; ++b)
              std::memcpy(out + size_t{b} * Format::kPlaneBytes[piece.plane] + piece.to,
                          in + size_t{b} * Format::kBytes + piece.from, piece.bytes);
          }(),
          ...);
    }
    (std::make_index_sequence<Format::kPieces.size()>{});
  }
}

// The inverse: a block as it is in the file from its shares of the planes.
template <typename Format>
void join_block(std::array<const std::byte*, kMaxPlanes> rows, uint32_t block, std::byte* out) {
  for (const Piece& piece : Format::kPieces)
    std::memcpy(out + piece.from, rows[piece.plane] + size_t{block} * Format::kPlaneBytes[piece.plane] + piece.to,
                piece.bytes);
}

}  // namespace

uint64_t file_row_bytes(DType type, uint32_t cols) { return byte_size(type, cols).value_or(0); }

Status replane(WeightFormat format, uint32_t cols, std::span<const std::byte> rows_in, uint32_t plane,
               std::span<std::byte> plane_rows_out) {
  LAHAR_ASSIGN(const Layout shape, layout(format, 1, cols));
  const FormatTraits& t = traits(format);
  const uint64_t in_bytes = file_row_bytes(t.file, cols);
  if (plane >= t.planes || t.plane_bytes[plane] == 0)
    return Error{ErrorCode::kInvalidArgument, std::string(t.name) + ": no plane " + std::to_string(plane) + " in the file"};
  if (rows_in.size() % in_bytes != 0) return mismatch("replane: whole rows", in_bytes, rows_in.size());
  const uint64_t rows = rows_in.size() / in_bytes;
  const uint32_t out_bytes = shape.row_bytes[plane], blocks = cols / t.block_values;
  if (plane_rows_out.size() != rows * out_bytes) return mismatch("replane: output", rows * out_bytes, plane_rows_out.size());
  const size_t used = size_t{blocks} * t.plane_bytes[plane];
  with_format(format, [&](auto f) {
    for (uint64_t r = 0; r < rows; ++r) {
      std::byte* out = plane_rows_out.data() + r * out_bytes;
      cut_row<decltype(f)>(rows_in.data() + r * in_bytes, blocks, plane, out);
      std::memset(out + used, 0, out_bytes - used);
    }
  });
  return {};
}

Status store_scales(uint32_t cols, uint32_t group, std::span<const float> scales, std::span<std::byte> plane_rows_out) {
  const uint32_t groups = groups_in_row(cols, group);
  const size_t used = size_t{groups} * sizeof(float), out_bytes = (used + 15) / 16 * 16;
  if (scales.size() % groups != 0) return mismatch("store_scales: whole rows", used, scales.size_bytes());
  const size_t rows = scales.size() / groups;
  if (plane_rows_out.size() != rows * out_bytes)
    return mismatch("store_scales: output", rows * out_bytes, plane_rows_out.size());
  for (size_t r = 0; r < rows; ++r) {
    std::byte* out = plane_rows_out.data() + r * out_bytes;
    std::memcpy(out, scales.data() + r * groups, used);
    std::memset(out + used, 0, out_bytes - used);
  }
  return {};
}

Status to_floats(DType type, std::span<const std::byte> bytes, std::span<float> out) {
  const auto format = format_for(type);
  if (!format) return Error{ErrorCode::kUnsupported, "no conversion from " + std::string(to_string(type)) + " to floats"};
  return with_format(*format, [&](auto f) -> Status {
    using Format = decltype(f);
    const size_t blocks = out.size() / Format::kValues;
    if (out.size() % Format::kValues != 0 || bytes.size() != blocks * Format::kBytes)
      return mismatch("to_floats", blocks * Format::kBytes, bytes.size());
    for (size_t b = 0; b < blocks; ++b) Format::decode(bytes.data() + b * Format::kBytes, out.data() + b * Format::kValues);
    return {};
  });
}

Status planes_to_floats(WeightFormat format, uint32_t rows, uint32_t cols, uint32_t group,
                        std::array<std::span<const std::byte>, kMaxPlanes> planes, std::span<float> out) {
  LAHAR_ASSIGN(const Layout shape, layout(format, rows, cols, group));
  for (uint32_t p = 0; p < shape.planes; ++p)
    if (planes[p].size() != shape.plane_bytes[p])
      return mismatch("planes_to_floats", shape.plane_bytes[p], planes[p].size());
  if (out.size() != size_t{rows} * cols) return mismatch("planes_to_floats", size_t{rows} * cols * 4, out.size_bytes());
  const uint32_t columns_per_scale = group == 0 ? cols : group;
  with_format(format, [&](auto f) {
    using Format = decltype(f);
    std::array<std::byte, Format::kBytes> block;
    for (size_t r = 0; r < rows; ++r) {
      std::array<const std::byte*, kMaxPlanes> at{};
      for (uint32_t p = 0; p < shape.planes; ++p) at[p] = planes[p].data() + r * shape.row_bytes[p];
      float* row = out.data() + r * cols;
      for (uint32_t b = 0; b < cols / Format::kValues; ++b) {
        join_block<Format>(at, b, block.data());
        Format::decode(block.data(), row + size_t{b} * Format::kValues);
        if constexpr (requires { Format::apply(0.0f, 0.0f); })
          for (uint32_t i = b * Format::kValues; i < (b + 1) * Format::kValues; ++i)
            row[i] = Format::apply(row[i], load<float>(at[1] + size_t{i / columns_per_scale} * sizeof(float)));
      }
    }
  });
  return {};
}

}  // namespace lahar::quant
