// The norms that a matmul kernel computes along with its product. Expects FLAGS, `p` with an address `fold` (NormFold), and
// matmul/output.glsl.
#include "matmul/norm_parts.glsl"

const bool kNormX = (FLAGS & kMatmulNormX) != 0, kNormY = (FLAGS & kMatmulNormY) != 0;

// Of the norm before, for row t of y. All lanes of a subgroup together.
float norm_factor(uint t) { return kNormX ? fold_factor(p.fold, source_row(t)) : 1; }

// Stores element `row` of row t of y, and for the norm after it; returns its square for store_squares(), 0 without a norm.
float store_normed(uint t, uint row, float v) {
  const float y = store_y(t, row, v);
  return kNormY ? fold_scaled(p.fold, t, row, y) : 0;
}

// See fold_squares().
void store_squares(uint t, uint part, uint parts, float sum) { fold_squares(p.fold, t, part, parts, sum); }
