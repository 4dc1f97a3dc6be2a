// The matrix and the rows of x, for kernels that loop over columns. Expects FLAGS and `p` (MatmulPush).
#include "matmul/experts.glsl"
#include "matmul/x4.glsl"
#include "quant/decode.glsl"

Weights the_weights() {
  return Weights(plane_address(0), plane_address(1), plane_address(2), p.row_bytes0, p.row_bytes1, p.row_bytes2, p.group);
}

