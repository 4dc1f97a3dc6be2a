// A decoder-only transformer as recorded work: embedding, layers, head. Owns the activations' memory; the weights and the
// KV pool are others'.
// Thread rule: immutable after create(); recording is const.
#pragma once

#include <memory>

#include "blocks/attention_blocks.h"
#include "blocks/block_kinds.h"
#include "blocks/forward.h"
#include "blocks/norm_folds.h"
#include "gpu/commands.h"
#include "gpu/device.h"

namespace lahar {

struct TransformerOptions {
  uint32_t max_bucket = 512;    // rows of a step at most
  uint32_t max_logit_rows = 1;  // rows whose logits a step computes at most
  uint32_t max_context = 0;     // tokens of a sequence at most
  ops::Precision precision = ops::Precision::kDefault;
  const ops::Tuning* tuning = nullptr;  // must outlive the Transformer; null: defaults
};

class Transformer {
 public:
  // `spec` and `weights` must outlive the result. Errors: kOutOfMemory, kLimit.
  static Result<std::unique_ptr<Transformer>> create(gpu::Device& device, const ModelSpec& spec, const ModelWeights& weights,
                                                     const TransformerOptions& options);
  // Bytes of device memory that create() takes.
  static uint64_t scratch_bytes(const gpu::Caps& caps, const ModelSpec& spec, const TransformerOptions& options);

  uint32_t layers() const { return static_cast<uint32_t>(spec_.layers.size()); }
  uint32_t vocabulary() const { return spec_.vocabulary; }

  Status record_embedding(gpu::Recorder& recorder, const ops::StepRef& step) const;
  Status record_layer(gpu::Recorder& recorder, const ops::StepRef& step, uint32_t layer, const LayerMemory& memory) const;
  // Logits of every row (all_rows), or of the rows in StepState::logit_rows.
  Status record_head(gpu::Recorder& recorder, const ops::StepRef& step, bool all_rows) const;
  // Where record_head writes: [rows, vocabulary].
  ops::Activations logits(uint32_t rows) const;

 private:
  Transformer(const ModelSpec& spec, const ModelWeights& weights, const TransformerOptions& options)
      : spec_(spec), weights_(weights), options_(options) {}
  Forward forward(gpu::Recorder& recorder, const ops::StepRef& step) const;
  Status record_mixer(const Forward& f, uint32_t index, const LayerMemory& memory, const BlockNorms& norms) const;
  Status record_ffn(const Forward& f, uint32_t index, const ops::Activations& normed, const LayerMemory& memory,
                    const BlockNorms& norms) const;

  const ModelSpec& spec_;
  const ModelWeights& weights_;
  TransformerOptions options_;
  gpu::Buffer memory_, logits_memory_;
  Scratch scratch_;
  std::unique_ptr<NormFolds> folds_;
  std::unique_ptr<AttentionBlocks> attention_blocks_;
  ops::Activations logits_;
};

}  // namespace lahar
