// Inside of matmul: tiles on cooperative matrices, whatever the type of their operands. A workgroup computes a tile, each of
// its subgroups a part of it, made of the device's matrices.
#pragma once

#include "ops/matmul_paths.h"

namespace lahar::ops::detail {

using MatrixShapes = std::vector<gpu::CooperativeMatrixShape>;

// The largest that the kernels can be made of; all zero without one.
gpu::CooperativeMatrixShape best_shape(const MatrixShapes& shapes);

// A path and a shape with the tile that is taken where nothing was measured: narrow ones for what would be padding in wide
// ones, the widest where there is work for many workgroups. rows: of W.
MatmulForm default_tile(const gpu::Caps& caps, MatmulPath path, const gpu::CooperativeMatrixShape& shape, uint32_t rows,
                        uint32_t bucket);
// The same form with the device's other tiles that are worth measuring.
std::vector<MatmulForm> other_tiles(const gpu::Caps& caps, const MatmulForm& form, uint32_t bucket);

// What can() of a path has to ask about the tile, its parts, and the shape, which must be one of `shapes`. operand_bytes: of
// an element of W and x in shared memory.
bool can_tile(const gpu::Caps& caps, const MatrixShapes& shapes, const MatmulForm& form, uint32_t operand_bytes);
uint32_t tile_invocations(const MatmulForm& form);

// A dispatch for each tile.
gpu::GroupCount tile_groups(const gpu::Caps& caps, const MatmulParams& params, const MatmulForm& form);

}  // namespace lahar::ops::detail
