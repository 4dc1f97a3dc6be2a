// What a WeightPlan holds: for the loader and for tests.
#pragma once

#include <vector>

#include "expert_slab.h"
#include "quant/layout.h"
#include "weight_tensors.h"
#include "weights.h"

namespace lahar {

// One device matrix: the rows of its pieces, one behind the other.
struct MatrixPlan {
  quant::WeightFormat format = quant::WeightFormat::kF32;
  uint32_t rows = 0, cols = 0, group = 0;
  float scale = 1;
  bool quantize = false;    // the pieces hold floats that become `format`
  bool fold_scale = false;  // the pieces' scales are multiplied into the values; with quantize, and `scale` is 1
  std::vector<MatrixPiece> pieces;
  quant::Layout layout;
};

struct LinearPlan {
  uint32_t rows = 0, cols = 0;
  std::vector<MatrixPlan> parts;
  VectorTensors bias;
};

struct ExpertPlan {
  LinearPlan up, down;  // up: one part, or one of gate and one of up; down: one part
};

struct LayerExpertsPlan {
  std::vector<ExpertPlan> experts;  // all alike but for their tensors
  ExpertSlab slab;
};

struct BlockPlan {
  std::vector<LinearPlan> linears;
  LayerExpertsPlan experts;
};

struct LayerPlan {
  LinearPlan qkv, attention_output, up, down;
  BlockPlan mixer, ffn;
};

struct WeightPlan::Data {
  ModelTensors tensors;  // norms and other vectors are used as they are
  LinearPlan embedding, positions, head;
  std::vector<LayerPlan> layers;
  BlockPlan extra;
  MemoryNeed memory;
  uint64_t source_bytes = 0;
};

// Device planes and vectors begin at multiples of this.
constexpr uint64_t kWeightAlignment = 256;
inline uint64_t align_weight(uint64_t bytes) { return (bytes + kWeightAlignment - 1) / kWeightAlignment * kWeightAlignment; }

}  // namespace lahar
