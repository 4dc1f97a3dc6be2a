// Floats to the blocks of a file's weight types, with scales that are searched for: the step that loses precision, done as
// well as the format allows. What the blocks hold is in the formats' own headers.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "core/dtype.h"
#include "core/result.h"

namespace lahar::quant {

// F32, F16, BF16, Q8_0, Q4_0, Q4_1, Q4_K, Q6_K, IQ4_NL and MXFP4. (fp8 has its scales elsewhere: encode_f8_row.)
bool can_encode(DType type);

// `values`: whole rows of `cols`; `out`: as many rows of file_row_bytes(type, cols). `importance`: empty, or a positive
// weight for each column. Scales are those with the least sum of importance * error^2 that the search finds (Q8_0: the
// largest magnitude becomes 127); F16, BF16 and F32 round to nearest. Values that are not finite count as 0, magnitudes
// beyond what the type can hold as the largest that it can.
// Errors: kUnsupported (type), kInvalidArgument (sizes, cols no multiple of the block). Pure; any thread.
Status encode_rows(DType type, uint32_t cols, std::span<const float> values, std::span<const float> importance,
                   std::span<std::byte> out);

// One row to fp8 e4m3: the largest magnitude of each `group` columns becomes 448. `out` is as long as the row, `scales` has
// groups_in_row() floats; weight = value * scale. Values that are not finite count as 0. Pure; any thread.
void encode_f8_row(std::span<const float> row, uint32_t group, std::span<std::byte> out, std::span<float> scales);

}  // namespace lahar::quant
