#include "blocks/norm_folds.h"

#include <cstring>

#include "gpu/transfer.h"
#include "params_matmul.h"

namespace lahar {
namespace {

// Whether the product `linear` takes a norm after it (y) or before it (x). logit_rows: of the rows whose logits are wanted.
bool takes_norm(const Forward& f, const Linear& linear, const ops::NormFold* x_norm, const ops::NormFold* y_norm,
                ops::Activation glu = ops::Activation::kNone, bool logit_rows = false) {
  if (y_norm != nullptr && linear.parts.size() != 1) return false;
  ops::StepRef step = f.step;
  if (logit_rows) step.bucket = f.logit_rows;
  for (const LinearPart& part : linear.parts)
    if (!ops::can_fold_norm(f.recorder.device().caps(), {.w = &part.matrix,
                                                         .glu = linear.parts.size() == 1 ? glu : ops::Activation::kNone,
                                                         .x_norm = x_norm,
                                                         .y_norm = y_norm,
                                                         .step = step,
                                                         .logit_rows = logit_rows,
                                                         .precision = f.precision,
                                                         .x_scratch = f.scratch.converted,
                                                         .tuning = f.tuning}))
      return false;
  return true;
}

// Nothing but products lies between the norms, and they are RMSNorms without biases.
bool is_plain_rms(const ModelSpec& spec) {
  return spec.norm.kind == ops::NormKind::kRms && !spec.norm.bias && spec.altup.streams == 0 && spec.layer_inputs.width == 0;
}

}  // namespace

Result<std::unique_ptr<NormFolds>> NormFolds::create(gpu::Device& device, const ModelSpec& spec, const ModelWeights& weights,
                                                     const Scratch& scratch) {
  auto made = std::unique_ptr<NormFolds>(new NormFolds);
  NormFolds& folds = *made;
  if (!is_plain_rms(spec)) return made;
  constexpr uint64_t kStride = 64;
  static_assert(kStride >= sizeof(params::NormFold));
  const size_t layers = spec.layers.size();
  LAHAR_ASSIGN(folds.blocks_, device.create_buffer((2 * layers + 1) * kStride, gpu::Memory::kDevice, "folded norms"));
  LAHAR_ASSIGN(folds.squares_,
               device.create_buffer(ops::norm_fold_squares_bytes(kFoldRows), gpu::Memory::kDevice, "squares"));
  std::vector<std::byte> host(folds.blocks_.size());
  uint64_t at = 0;
  const auto add = [&](const NormWeights& norm) {
    const params::NormFold block{.weight = norm.weight.address(),
                                 .scaled = scratch.normed.range.address(),
                                 .squares = folds.squares_.address(),
                                 .scaled_stride = scratch.normed.stride,
                                 .width = spec.hidden,
                                 .eps = spec.norm.eps,
                                 .reserved = 0};
    std::memcpy(host.data() + at, &block, sizeof block);
    ops::NormFold fold{{folds.blocks_, at, kStride}, norm.weight, scratch.normed, folds.squares_};
    at += kStride;
    return fold;
  };
  for (const LayerWeights& layer : weights.layers) {
    folds.attention_.push_back(add(layer.pre_attention));
    folds.ffn_.push_back(add(layer.pre_ffn));
  }
  folds.attention_.push_back(add(weights.final_norm));
  LAHAR_TRY(gpu::upload(device, host, folds.blocks_));
  return made;
}

const ops::NormFold* NormFolds::before_attention(const Forward& f, uint32_t index) const {
  if (attention_.empty() || index == 0 || f.step.bucket > kFoldRows) return nullptr;
  const ops::NormFold* fold = &attention_[index];
  const LayerSpec& before = f.spec.layers[index - 1];
  if (before.ffn_kind != FfnKind::kDense || before.parallel || before.post_ffn_norm || !fold->weight) return nullptr;
  if (!takes_norm(f, f.weights.layers[index - 1].down, nullptr, fold)) return nullptr;
  if (index == f.spec.layers.size()) {
    const bool takes = takes_norm(f, f.weights.head, fold, nullptr, ops::Activation::kNone, true) &&
                       (!f.all_logits || takes_norm(f, f.weights.head, fold, nullptr));
    return takes ? fold : nullptr;
  }
  const LayerSpec& layer = f.spec.layers[index];
  if (layer.mixer != Mixer::kAttention || !layer.pre_attention_norm || layer.parallel) return nullptr;
  return takes_norm(f, f.weights.layers[index].qkv, fold, nullptr) ? fold : nullptr;
}

const ops::NormFold* NormFolds::before_ffn(const Forward& f, uint32_t index) const {
  if (ffn_.empty() || f.step.bucket > kFoldRows) return nullptr;
  const ops::NormFold* fold = &ffn_[index];
  const LayerSpec& layer = f.spec.layers[index];
  const LayerWeights& weights = f.weights.layers[index];
  if (layer.mixer != Mixer::kAttention || layer.ffn_kind != FfnKind::kDense) return nullptr;
  if (layer.parallel || layer.post_attention_norm || !layer.pre_ffn_norm || !fold->weight) return nullptr;
  const ops::Activation glu = layer.ffn.gated ? layer.ffn.activation : ops::Activation::kNone;
  return takes_norm(f, weights.attention_output, nullptr, fold) && takes_norm(f, weights.up, fold, nullptr, glu) ? fold
                                                                                                                 : nullptr;
}

}  // namespace lahar
