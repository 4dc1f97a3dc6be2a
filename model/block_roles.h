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
  uint32_t step = 1;             // from one row to the next
};

// One tensor of a stacked matrix. Names are as the file has them, behind the layer's prefix.
struct MatrixRole {
  std::string name;  // without ".weight", which a Hugging Face folder may leave out
  uint32_t rows = 0, cols = 0;
  bool bias = false;
  std::vector<RowRun> runs;  // rows of the tensor in the order wanted, not always all; empty: all, as they are
  bool scaled = false;       // a GGUF's factor (".scale") counts
};

// y = W x + b, of tensors that lie one behind the other.
struct LinearRole {
  std::vector<MatrixRole> stacked;
  bool keep_type = false;  // is not quantized while it is loaded
};

// One matrix that every expert of a layer has. A file holds them in one tensor of three dimensions ([experts, rows, cols]),
// or in a tensor each.
struct ExpertMatrixRole {
  std::string all;            // the tensor of all, without ".weight"; empty: there is none
  std::string before, after;  // a tensor each: before + the expert's number + after, without ".weight"
  uint32_t rows = 0, cols = 0;
  bool bias = false;
  bool transposed = false;   // [experts, cols, rows], or [cols, rows] each
  bool scaled = false;       // a GGUF's factor of every expert (".scale") counts
  std::vector<RowRun> runs;  // as MatrixRole's
};

struct ExpertRoles {
  uint32_t experts = 0;                    // 0: the block has none
  std::vector<ExpertMatrixRole> up, down;  // up: gate and up, or up alone
};

struct FactorRun {
  uint32_t values = 0;
  float factor = 1;
};

// fp32 values of one tensor, flat. Dimensions of 1 do not count in the check of the shape.
struct VectorRole {
  std::string name;  // in full, with ".weight" or what else it ends with
  Shape shape;
  float offset = 0;               // added to every value
  float (*map)(float) = nullptr;  // applied to every value before the offset; null: none
  float limit = 0;                // values beyond it or its negative become it; 0: none do
  // Of consecutive values, all of them; empty: ones.
  std::vector<FactorRun> factors;
  bool optional = false;  // where the file has no such tensor, the role is not there
};

// A role whose name is empty, or that has no tensors, is not there: its place stays empty.
struct BlockRoles {
  std::vector<LinearRole> linears;
  std::vector<VectorRole> vectors;
  ExpertRoles experts;
};

struct LayerRoles {
  BlockRoles mixer, ffn;
};

}  // namespace lahar
