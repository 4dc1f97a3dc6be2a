// Slices of W and x as matrices of fp16 with VK_NV_cooperative_matrix2: tensor loads take every element from memory by themselves,
// weights through decode(). Past the layouts' dimensions elements are 0 and nothing is read: a slice may reach beyond the last row
// of W, the last row of x in use and the last column.
// STAND_IN: the same elements one by one, for devices without tensor loads. So tests reach decode() and the kernel around it.
// Expects SCOPE, TILE_M, TILE_N, DEPTH, `p` with cols, and for the workgroup
//   Weights w; uint rows_left       at its first row of W, and how many there are from there on
//   uint64_t x_rows; uint t_left    its first converted row of x, p.x_stride bytes apart, and how many are in use from there on
#include "quant/element.glsl"

#define MATRIX_A coopmat<float16_t, SCOPE, TILE_M, DEPTH, gl_MatrixUseA>
#define MATRIX_B coopmat<float16_t, SCOPE, DEPTH, TILE_N, gl_MatrixUseB>

// Where a load believes a block to be. Its bits lie in several planes, whose addresses decode() finds by the block's coordinates.
layout(buffer_reference, scalar, buffer_reference_align = 16) readonly buffer BlockRef { uvec4 v; };
layout(buffer_reference, scalar, buffer_reference_align = 16) readonly buffer HalvesRef { float16_t v[]; };

float16_t decode(const in BlockRef unused, const in uint block[2], const in uint at[2]) {
  return float16_t(clamp(element(w, block[0], block[1], at[1]), -65504.0, 65504.0));
}

#ifdef STAND_IN
float16_t w_element(const in uint r, const in uint c, const in float16_t v, const in uint column) {
  if (r >= rows_left || column + c >= p.cols) return float16_t(0);
  return decode(BlockRef(w.plane0), uint[2](r, (column + c) / kBlock), uint[2](0, (column + c) % kBlock));
}
float16_t x_element(const in uint r, const in uint c, const in float16_t v, const in uint column) {
  if (c >= t_left || column + r >= p.cols) return float16_t(0);
  return HalvesRef(x_rows + uint64_t(c * p.x_stride)).v[column + r];
}
void load_w(inout MATRIX_A a, uint column) { coopMatPerElementNV(a, a, w_element, column); }
void load_x(inout MATRIX_B b, uint column) { coopMatPerElementNV(b, b, x_element, column); }
#else
#define LAYOUT tensorLayoutNV<2, gl_CooperativeMatrixClampModeConstantNV>
LAYOUT new_layout() { return createTensorLayoutNV(2, gl_CooperativeMatrixClampModeConstantNV); }

void load_w(inout MATRIX_A a, uint column) {
  LAYOUT l = new_layout();
  if (FORMAT == kF16) {
    l = setTensorLayoutDimensionNV(l, rows_left, p.cols);
    l = setTensorLayoutStrideNV(l, w.row_bytes0 / 2, 1);
    coopMatLoadTensorNV(a, HalvesRef(w.plane0).v, 0, sliceTensorLayoutNV(l, 0, TILE_M, column, DEPTH));
  } else {
    l = setTensorLayoutBlockSizeNV(l, 1, kBlock);
    l = setTensorLayoutDimensionNV(l, rows_left, p.cols);
    coopMatLoadTensorNV(a, HalvesRef(w.plane0).v, 0, sliceTensorLayoutNV(l, 0, TILE_M, column, DEPTH), decode);
  }
}

// Rows of x are columns of the matrix.
void load_x(inout MATRIX_B b, uint column) {
  LAYOUT l = setTensorLayoutDimensionNV(new_layout(), t_left, p.cols);
  l = setTensorLayoutStrideNV(l, p.x_stride / 2, 1);
  coopMatLoadTensorNV(b, HalvesRef(x_rows).v, 0, sliceTensorLayoutNV(l, 0, TILE_N, column, DEPTH),
                      createTensorViewNV(2, false, 1, 0));
}
#endif
