// What whole attention blocks of a model (ops/attention_block.h) find in device memory.
#pragma once

#include <memory>

#include "blocks/forward.h"
#include "blocks/norm_folds.h"
#include "ops/attention_block.h"

namespace lahar {

class AttentionBlocks {
 public:
  // Errors: kOutOfMemory.
  static Result<std::unique_ptr<AttentionBlocks>> create(gpu::Device& device, const ModelSpec& spec,
                                                         const ModelWeights& weights, const Scratch& scratch,
                                                         const NormFolds& folds);
  // Of a layer; empty where it cannot be computed so, on devices that have no such kernels always.
  gpu::BufferRange block(uint32_t layer) const;

 private:
  AttentionBlocks() = default;
  gpu::Buffer memory_;
  std::vector<bool> there_;
};

}  // namespace lahar
