// Rows of activations converted for matrix units and integer dot products, by matmul/rows.comp or by the kernel that makes
// them. C++ and GLSL share it. `blocks` is ceil(columns / 32); columns past the last are zero.
//   int8:  32 * blocks int8, then for each block {float scale, int16 sums of the quants of its two halves}
//   half:  32 * blocks fp16, then {float: what the values are to be multiplied with}
#ifndef LAHAR_PARAMS_X_ROWS_H
#define LAHAR_PARAMS_X_ROWS_H
#include "shared.h"
LAHAR_SHARED_BEGIN

// Bytes from row to row, multiples of 16.
LAHAR_SHARED_INLINE uint int8_row_bytes(uint cols) { return ((cols + 31) / 32 * 40 + 15) / 16 * 16; }
LAHAR_SHARED_INLINE uint half_row_bytes(uint cols) { return (cols + 31) / 32 * 64 + 16; }

const uint kRowsInt8 = 0, kRowsHalf = 1;

struct RowsPush {
  address_t x, y;
  address_t step;
  uint cols;
  uint x_stride;  // floats
  uint x_rows;
  uint row_bytes;  // of y
  uint bucket;
  uint reserved;
};
LAHAR_SHARED_SIZE(RowsPush, 48)

LAHAR_SHARED_END
#endif
