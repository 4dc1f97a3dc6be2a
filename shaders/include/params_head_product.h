// Push constants of attention/head_product.comp.
#ifndef LAHAR_PARAMS_HEAD_PRODUCT_H
#define LAHAR_PARAMS_HEAD_PRODUCT_H
#include "shared.h"
LAHAR_SHARED_BEGIN

struct HeadProductPush {
  address_t w0, w1, w2;  // planes of the matrix
  address_t x, y;        // fp32 rows
  address_t step;
  uint head_rows, cols;  // of the matrix
  uint row_bytes0, row_bytes1, row_bytes2;
  uint group;
  uint x_stride, y_stride;  // floats between rows
  uint x_head, y_head;      // floats between heads of a row
  float scale;
  uint reserved;
};
LAHAR_SHARED_SIZE(HeadProductPush, 96)

LAHAR_SHARED_END
#endif
