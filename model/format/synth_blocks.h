// Seeded random numbers in a weight format.
#pragma once

#include <cstdint>
#include <span>

#include "core/dtype.h"

namespace lahar::detail {

// A bell-shaped number (the sum of four bytes) of mean 0 and deviation 1 for each index of a stream; pure.
float random_value(uint64_t stream, uint64_t index);

// True for F32, F16, BF16, and all types of quantized blocks that Lahar runs.
bool can_fill(DType dtype);

// Values [first, first + n) of the stream, times `deviation`, plus `mean`, quantized by plain rounding; for the quantized
// types but Q8_0, Q4_0 and Q4_K random quants instead, of a mean of about 0 and that deviation. `first` and n (which is what
// `out` has room for) are multiples of the block. Any thread.
void fill_random(DType dtype, uint64_t stream, uint64_t first, float mean, float deviation, std::span<std::byte> out);

}  // namespace lahar::detail
