// From the rows of a file to planes and to floats, and from floats to planes. All work on whole rows, any number of them,
// so that a tensor streams through a bounded staging buffer in pieces. Pure functions; any thread.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "core/dtype.h"
#include "core/result.h"
#include "quant/layout.h"

namespace lahar::quant {

// Bytes of one row of `cols` values in a file; 0 where cols is no multiple of the type's block.
uint64_t file_row_bytes(DType type, uint32_t cols);

// Writes plane `plane` of the rows in `rows_in` (file type traits(format).file; its size is a multiple of file_row_bytes())
// to `plane_rows_out` (as many rows of layout(...).row_bytes[plane] bytes), the bits unchanged, the tail of each row zero.
// The scale plane of grouped formats does not come from these rows: store_scales() writes it; nor does a table, which is
// traits(format).table.
// Errors: kInvalidArgument (sizes that do not fit, no such plane). On error the output is unspecified.
Status replane(WeightFormat format, uint32_t cols, std::span<const std::byte> rows_in, uint32_t plane,
               std::span<std::byte> plane_rows_out);

// Writes the fp32 scales of rows of a grouped format to plane 1: scales holds groups_in_row(cols, group) values a row
// (for kI4 those of I4::pack_scale).
Status store_scales(uint32_t cols, uint32_t group, std::span<const float> scales, std::span<std::byte> plane_rows_out);

// File values to floats; bytes must be whole blocks of a type for which format_for() gives a format, out as long as its
// values. fp8 and int8 give the values without their outside scales. Errors: kUnsupported (type), kInvalidArgument (sizes).
Status to_floats(DType type, std::span<const std::byte> bytes, std::span<float> out);

// Planes back to floats, `rows` rows: the reference for tests. planes[p] holds rows * layout(...).row_bytes[p] bytes.
Status planes_to_floats(WeightFormat format, uint32_t rows, uint32_t cols, uint32_t group,
                        std::array<std::span<const std::byte>, kMaxPlanes> planes, std::span<float> out);

}  // namespace lahar::quant
