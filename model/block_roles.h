// The weights of a block as lists. Blocks beside attention and the dense feed-forward name their tensors so; everything
// from the check of shapes to the upload keeps the order, and the block finds its weights by the indices it names itself.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/shape.h"

namespace lahar {

struct RowRun {
  uint32_t first = 0, rows = 0;  // of the tensor
};

// One tensor of a stacked matrix. Names are as the file has them, behind the layer's prefix.
struct MatrixRole {
  std::string name;  // without ".weight"
  uint32_t rows = 0, cols = 0;
  bool bias = false;
  std::vector<RowRun> runs;  // rows of the tensor in the order wanted; empty: all, as they are
};

// y = W x + b, of tensors that lie one behind the other.
struct LinearRole {
  std::vector<MatrixRole> stacked;
};

// fp32 values of one tensor, flat. Dimensions of 1 do not count in the check of the shape.
struct VectorRole {
  std::string name;  // in full, with ".weight" or what else it ends with
  Shape shape;
  float offset = 0;                // added to every value
  float (*map)(float) = nullptr;  // applied to every value before the offset; null: none
};

// A role whose name is empty, or that has no tensors, is not there: its place stays empty.
struct BlockRoles {
  std::vector<LinearRole> linears;
  std::vector<VectorRole> vectors;
};

struct LayerRoles {
  BlockRoles mixer, ffn;
};

}  // namespace lahar
