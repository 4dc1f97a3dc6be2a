// Which tensors of a source make which role of a model, with their shapes checked. Types are not looked at here.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "arch/architecture.h"
#include "block_roles.h"
#include "core/result.h"
#include "format/model_source.h"
#include "hf_quantization.h"
#include "packed_weights.h"
#include "spec.h"

namespace lahar {

// Rows of one tensor that become consecutive rows of a matrix.
struct MatrixPiece {
  const TensorView* tensor = nullptr;
  const TensorView* scales = nullptr;  // of quantized weights in safetensors; null where there is none
  std::vector<RowRun> runs;
  uint32_t rows = 0, cols = 0;          // of this piece
  bool transposed = false;              // the tensor is [cols, its rows]
  float scale = 1;                      // of the product
  bool fold_scale = false;              // the scale is multiplied into the values: each expert may have another
  std::optional<PackedTensors> packed;  // of what the tensor holds several to a word; then `scales` are of its groups
};

// Values of one tensor, or zeros, that become consecutive values of a vector.
struct VectorPiece {
  const TensorView* tensor = nullptr;  // 1-D; null: zeros
  std::vector<RowRun> runs;
  uint32_t size = 0;
  float factor = 1;  // of the values
};

struct VectorTensors {
  std::vector<VectorPiece> pieces;  // none: the role is absent
  uint32_t size = 0;
  float offset = 0;               // added to every value
  float (*map)(float) = nullptr;  // applied before the offset
  float limit = 0;                // as VectorRole's
};

struct NormTensors {
  VectorTensors weight, bias;
};

struct LinearTensors {
  uint32_t rows = 0, cols = 0;
  std::vector<MatrixPiece> pieces;  // stacked
  VectorTensors bias;
  bool keep_type = false;  // is not quantized while it is loaded
};

struct ExpertTensors {
  LinearTensors up, down;
};

struct LayerExperts {
  std::vector<ExpertTensors> experts;
  std::vector<std::unique_ptr<TensorView>> slices;  // of tensors that hold all experts; the pieces point to them
};

// In the order of BlockRoles; what is not there has no pieces.
struct BlockTensors {
  std::vector<LinearTensors> linears;
  std::vector<VectorTensors> vectors;
  LayerExperts experts;
};

struct LayerTensors {
  NormTensors pre_attention, post_attention, pre_ffn, post_ffn;
  LinearTensors qkv, attention_output, up, down;
  VectorTensors q_norm, k_norm, sinks;
  BlockTensors mixer, ffn;
};

struct ModelTensors {
  HfQuantization quantization;
  LinearTensors embedding, positions, head;  // positions and head: no pieces where there are none of their own
  NormTensors final_norm, embedding_norm;
  std::vector<LayerTensors> layers;
  BlockTensors extra;
};

// Errors: kFormat (a tensor that is missing or has the wrong shape: the message has its name and both shapes). The result
// points into the source.
Result<ModelTensors> resolve_tensors(const ModelSource& source, const ModelSpec& spec);

struct FoundVocabulary {
  uint32_t vocabulary = 0;            // rows of the embedding table
  const TensorView* table = nullptr;  // of the source
  const TensorView* head = nullptr;   // null: it has none
  // Whether the head has as many values as the table, but others. Reads both where they are equal.
  bool head_differs() const;
};
Result<FoundVocabulary> find_vocabulary(const ModelSource& source, const arch::TensorLayout& layout, uint32_t hidden);

}  // namespace lahar
