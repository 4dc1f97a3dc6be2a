// The traits of the weight formats, and how many bytes a matrix takes.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>

#include "core/dtype.h"
#include "core/result.h"
#include "quant/block.h"
#include "quant/matrix.h"

namespace lahar::quant {

struct FormatTraits {
  std::string_view name;
  DType file;                                    // the type whose bits it keeps
  uint32_t block_values;                         // columns must be a multiple
  uint32_t planes;                               // 1..3
  std::array<uint32_t, kMaxPlanes> plane_bytes;  // of a block's share; 0 for outside scales and the table
  bool grouped;                                  // plane 1 holds an fp32 scale per Matrix::group columns
  std::span<const uint16_t> table;               // what the last plane holds, the same for all rows; else empty
};
const FormatTraits& traits(WeightFormat format);

// The format that keeps the bits of a file's type; nullopt where there is none.
std::optional<WeightFormat> format_for(DType type);

struct Layout {
  uint32_t planes = 0;
  std::array<uint32_t, kMaxPlanes> row_bytes{};    // from one row to the next, in each plane; multiples of 16, 0 for a table
  std::array<uint64_t, kMaxPlanes> plane_bytes{};  // rows * row_bytes, or the table's
  uint64_t total_bytes = 0;                        // of all planes, one behind the other
  // Where plane p begins when the planes lie one behind the other.
  uint64_t plane_offset(uint32_t plane) const {
    uint64_t at = 0;
    for (uint32_t p = 0; p < plane; ++p) at += plane_bytes[p];
    return at;
  }
};

// group: columns per scale, for kF8, kI8 and kI4 (0 counts as cols); ignored for the others. Errors: kInvalidArgument (cols
// no multiple of the block, a group that is neither cols nor a multiple of 16 (kI4: 32), a row over 1 GiB, no rows or
// columns).
Result<Layout> layout(WeightFormat format, uint32_t rows, uint32_t cols, uint32_t group = 0);

// Scales in a row of a grouped format.
inline uint32_t groups_in_row(uint32_t cols, uint32_t group) {
  return group == 0 || group >= cols ? 1 : (cols + group - 1) / group;
}

}  // namespace lahar::quant
