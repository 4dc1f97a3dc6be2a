// The norms of the residual stream that need no dispatch of their own in small steps: they are computed by the products
// before and after them (ops::NormFold). The first layer's first norm has no product before it and is never folded.
// Thread rule: immutable after create().
#pragma once

#include <memory>
#include <vector>

#include "blocks/forward.h"
#include "gpu/device.h"
#include "ops/matmul.h"

namespace lahar {

// Steps of more rows compute norms by themselves.
constexpr uint32_t kFoldRows = 16;

class NormFolds {
 public:
  // `weights` and scratch.normed, where what a norm scaled goes, must outlive the result. Errors: kOutOfMemory.
  static Result<std::unique_ptr<NormFolds>> create(gpu::Device& device, const ModelSpec& spec, const ModelWeights& weights,
                                                   const Scratch& scratch);

  // The norm in front of layer `index`'s attention or ffn, or of the head (index: layers); null where a step of this shape
  // computes it by a dispatch.
  const ops::NormFold* before_attention(const Forward& f, uint32_t index) const;
  const ops::NormFold* before_ffn(const Forward& f, uint32_t index) const;
  // What those are where they are folded; null in a model that folds none.
  const ops::NormFold* attention_fold(uint32_t index) const { return attention_.empty() ? nullptr : &attention_[index]; }
  const ops::NormFold* ffn_fold(uint32_t index) const { return ffn_.empty() ? nullptr : &ffn_[index]; }

 private:
  NormFolds() = default;

  gpu::Buffer blocks_, squares_;
  std::vector<ops::NormFold> attention_, ffn_;  // one a layer, and the final norm behind the attentions'; some are unused
};

}  // namespace lahar
