#include "blocks/transformer.h"

#include <algorithm>

#include "blocks/altup.h"
#include "blocks/attention.h"
#include "blocks/dense_ffn.h"
#include "blocks/linear.h"
#include "gpu/transfer.h"
#include "ops/attention.h"
#include "ops/embed.h"

namespace lahar {
namespace {

constexpr uint64_t kAlignment = 256;

uint32_t stride_of(uint32_t width) { return (width + 3) / 4 * 4; }
uint64_t aligned(uint64_t bytes) { return (bytes + kAlignment - 1) / kAlignment * kAlignment; }

// Widths in floats of what Scratch holds.
struct Widths {
  uint32_t hidden = 0, wide = 0, q = 0, mid = 0, streams = 0, layer_inputs = 0;
  uint64_t converted_bytes = 0, attention_bytes = 0, block_bytes = 0;
};

Widths widths_of(const gpu::Caps& caps, const ModelSpec& spec, const TransformerOptions& options) {
  Widths w;
  w.hidden = stride_of(spec.hidden);
  uint32_t widest = 0;  // input of the other blocks' products
  for (const LayerSpec& layer : spec.layers) {
    const AttentionSpec& a = layer.attention;
    w.q = std::max(w.q, stride_of(a.heads * a.head_dim));
    w.wide = std::max({w.wide, stride_of(((a.output_gate ? 2 : 1) * a.heads + 2 * a.kv_heads) * a.head_dim),
                       stride_of((layer.ffn.gated ? 2 : 1) * layer.ffn.width)});
    w.mid = std::max(w.mid, stride_of(layer.ffn.width));
    if (a.heads > 0)
      w.attention_bytes = std::max(w.attention_bytes, ops::attention_scratch_bytes(caps, options.max_bucket, a.heads,
                                                                                   a.head_dim, options.max_context));
    for (const BlockKind* kind : {block_kind(layer.mixer), block_kind(layer.ffn_kind)}) {
      if (kind == nullptr) continue;
      if (kind->scratch_bytes != nullptr)
        w.block_bytes = std::max(w.block_bytes, kind->scratch_bytes(caps, spec, layer, options.max_bucket));
      if (kind->widest_input != nullptr) widest = std::max(widest, kind->widest_input(layer));
    }
  }
  w.mid = std::max({w.mid, w.q, stride_of(altup_mid(spec))});
  w.wide = std::max(w.wide, stride_of(altup_wide(spec)));
  w.streams = streams_width(spec), w.layer_inputs = stride_of(layer_inputs_width(spec));
  w.converted_bytes = ops::matmul_scratch_bytes(std::max({w.hidden, w.mid, stride_of(widest)}), options.max_bucket);
  return w;
}

uint64_t activation_bytes(uint32_t rows, uint32_t stride) { return aligned(uint64_t{rows} * stride * sizeof(float)); }

uint64_t memory_bytes(const Widths& w, uint32_t rows) {
  return 3 * activation_bytes(rows, w.hidden) + activation_bytes(rows, w.wide) + activation_bytes(rows, w.q) +
         activation_bytes(rows, w.mid) + activation_bytes(rows, w.streams) + activation_bytes(rows, w.layer_inputs) +
         aligned(w.converted_bytes) + aligned(w.block_bytes) + kAlignment +
         aligned(std::max<uint64_t>(w.attention_bytes, 16));
}

uint64_t logits_bytes(const ModelSpec& spec, const TransformerOptions& options) {
  return activation_bytes(options.max_logit_rows, stride_of(spec.vocabulary));
}

}  // namespace

Status record_norm(const Forward& f, const NormWeights& weights, const ops::Activations& x, const ops::Activations& y,
                   std::string_view label, float eps) {
  return ops::norm(f.recorder, {.kind = f.spec.norm.kind,
                                .x = x,
                                .y = y,
                                .width = f.spec.hidden,
                                .weight = weights.weight,
                                .bias = weights.bias,
                                .eps = eps > 0 ? eps : f.spec.norm.eps,
                                .step = f.step,
                                .label = label});
}

float ffn_end_scale(const ModelSpec& spec, const LayerSpec& layer) {
  return spec.layer_inputs.width == 0 ? layer.end_scale : 1;
}

Status record_added_norm(const Forward& f, const NormWeights& weights, const ops::Activations& y, float multiplier,
                         float factor) {
  return ops::norm(f.recorder, {.kind = f.spec.norm.kind,
                                .x = y,
                                .y = f.scratch.x,
                                .width = f.spec.hidden,
                                .weight = weights.weight,
                                .bias = weights.bias,
                                .residual = f.scratch.x,
                                .residual_scale = factor * multiplier,
                                .residual_factor = factor,
                                .eps = f.spec.norm.eps,
                                .step = f.step,
                                .label = "post norm"});
}

Status record_output(const Forward& f, const Linear& projection, const ops::Activations& input, const NormWeights* post_norm,
                     float multiplier, const ops::NormFold* after, std::string_view label, float factor) {
  const Scratch& s = f.scratch;
  if (post_norm == nullptr) {
    return record_linear(
        f.recorder, projection, input, s.x, f.step, f.precision, label,
        {.residual = s.x, .residual_scale = multiplier, .y_norm = after, .x_scratch = s.converted, .tuning = f.tuning});
  }
  LAHAR_TRY(record_linear(f.recorder, projection, input, s.other, f.step, f.precision, label,
                          {.x_scratch = s.converted, .tuning = f.tuning}));
  return record_added_norm(f, *post_norm, s.other, multiplier, factor);
}

uint64_t Transformer::scratch_bytes(const gpu::Caps& caps, const ModelSpec& spec, const TransformerOptions& options) {
  return memory_bytes(widths_of(caps, spec, options), options.max_bucket) + logits_bytes(spec, options);
}

Result<std::unique_ptr<Transformer>> Transformer::create(gpu::Device& device, const ModelSpec& spec,
                                                         const ModelWeights& weights, const TransformerOptions& options) {
  auto t = std::unique_ptr<Transformer>(new Transformer(spec, weights, options));
  const Widths w = widths_of(device.caps(), spec, options);
  const uint32_t rows = options.max_bucket;
  LAHAR_ASSIGN(t->memory_, device.create_buffer(memory_bytes(w, rows), gpu::Memory::kDevice, "activations"));
  LAHAR_ASSIGN(t->logits_memory_, device.create_buffer(logits_bytes(spec, options), gpu::Memory::kDevice, "logits"));
  uint64_t offset = 0;
  const auto take = [&](uint32_t stride) {
    const ops::Activations a{{t->memory_, offset, uint64_t{rows} * stride * sizeof(float)}, stride};
    offset += activation_bytes(rows, stride);
    return a;
  };
  Scratch& s = t->scratch_;
  s.x = take(w.hidden), s.normed = take(w.hidden), s.other = take(w.hidden);
  s.wide = take(w.wide), s.q = take(w.q), s.mid = take(w.mid);
  if (w.streams > 0) s.streams = take(w.streams);
  if (w.layer_inputs > 0) s.layer_inputs = take(w.layer_inputs);
  s.converted = {t->memory_, offset, w.converted_bytes};
  offset += aligned(w.converted_bytes);
  s.block = {t->memory_, offset, w.block_bytes};
  offset += aligned(w.block_bytes);
  if (device.caps().uniform_loops) {
    s.counter = {t->memory_, offset, sizeof(uint32_t)};
    constexpr uint32_t kZero[] = {0};
    LAHAR_TRY(gpu::upload(device, std::as_bytes(std::span(kZero)), s.counter));
  }
  offset += kAlignment;
  s.attention = {t->memory_, offset, t->memory_.size() - offset};
  t->logits_ = {t->logits_memory_, stride_of(spec.vocabulary)};
  LAHAR_ASSIGN(t->folds_, NormFolds::create(device, spec, weights, s));
  LAHAR_ASSIGN(t->attention_blocks_, AttentionBlocks::create(device, spec, weights, s, *t->folds_));
  return t;
}

ops::Activations Transformer::logits(uint32_t rows) const {
  rows = std::min(rows, options_.max_logit_rows);
  return {logits_.range.part(0, uint64_t{rows} * logits_.stride * sizeof(float)), logits_.stride};
}

Forward Transformer::forward(gpu::Recorder& recorder, const ops::StepRef& step) const {
  return {.recorder = recorder,
          .spec = spec_,
          .weights = weights_,
          .scratch = scratch_,
          .step = step,
          .precision = options_.precision,
          .max_context = options_.max_context,
          .tuning = options_.tuning,
          .logit_rows = std::min(step.bucket, options_.max_logit_rows),
          .all_logits = options_.max_logit_rows >= options_.max_bucket};
}

Status Transformer::record_embedding(gpu::Recorder& recorder, const ops::StepRef& step) const {
  recorder.set_scope("");
  LAHAR_TRY(ops::embed(recorder, {.table = &weights_.embedding,
                                  .positions = spec_.learned_positions ? &weights_.positions : nullptr,
                                  .scale = spec_.embedding_scale,
                                  .y = scratch_.x,
                                  .step = step}));
  const Forward f = forward(recorder, step);
  if (spec_.embedding_norm) LAHAR_TRY(record_norm(f, weights_.embedding_norm, scratch_.x, scratch_.x, "embedding norm"));
  return record_streams(f);
}

// Where the mixer reads: its norm, or x itself.
Status Transformer::record_mixer(const Forward& f, uint32_t index, const LayerMemory& memory,
                                 const BlockNorms& norms) const {
  const LayerSpec& layer = spec_.layers[index];
  const LayerWeights& weights = weights_.layers[index];
  const Scratch& s = scratch_;
  const ops::Activations& normed = layer.pre_attention_norm ? s.normed : s.x;
  if (layer.pre_attention_norm && norms.before == nullptr)
    LAHAR_TRY(record_norm(f, weights.pre_attention, s.x, s.normed, "attention norm", layer.norm_eps));
  if (layer.parallel && !layer.shared_norm)
    // Of the x that attention has not changed yet.
    LAHAR_TRY(record_norm(f, weights.pre_ffn, s.x, s.other, "ffn norm", layer.norm_eps));
  if (layer.mixer == Mixer::kAttention)
    return record_attention(f, layer, weights, normed, memory.kv, norms, attention_blocks_->block(index));
  const BlockKind* kind = block_kind(layer.mixer);
  return kind == nullptr ? Status{} : kind->record(f, layer, weights, normed, memory);
}

Status Transformer::record_ffn(const Forward& f, uint32_t index, const ops::Activations& normed, const LayerMemory& memory,
                               const BlockNorms& norms) const {
  const LayerSpec& layer = spec_.layers[index];
  if (layer.ffn_kind == FfnKind::kDense) return record_dense_ffn(f, layer, weights_.layers[index], normed, norms);
  const BlockKind* kind = block_kind(layer.ffn_kind);
  return kind == nullptr ? Status{} : kind->record(f, layer, weights_.layers[index], normed, memory);
}

Status Transformer::record_layer(gpu::Recorder& recorder, const ops::StepRef& step, uint32_t index,
                                 const LayerMemory& memory) const {
  const LayerSpec& layer = spec_.layers[index];
  const LayerWeights& weights = weights_.layers[index];
  const Forward f = forward(recorder, step);
  const Scratch& s = scratch_;
  recorder.set_scope("L" + std::to_string(index) + " ");

  LAHAR_TRY(record_layer_begin(f, weights));
  const ops::NormFold* before_ffn = folds_->before_ffn(f, index);
  LAHAR_TRY(record_mixer(f, index, memory, {folds_->before_attention(f, index), before_ffn}));

  LAHAR_TRY(record_laurel(f, weights, s.normed));

  const BlockNorms norms{before_ffn, folds_->before_attention(f, index + 1)};
  if (layer.parallel) {
    LAHAR_TRY(record_ffn(f, index, layer.shared_norm ? s.normed : s.other, memory, {}));
  } else if (layer.ffn_kind != FfnKind::kNone) {
    if (layer.pre_ffn_norm && before_ffn == nullptr)
      LAHAR_TRY(record_norm(f, weights.pre_ffn, s.x, s.normed, "ffn norm", layer.norm_eps));
    LAHAR_TRY(record_ffn(f, index, layer.pre_ffn_norm ? s.normed : s.x, memory, norms));
  }
  return record_layer_end(f, index);
}

Status Transformer::record_head(gpu::Recorder& recorder, const ops::StepRef& step, bool all_rows) const {
  recorder.set_scope("");
  const Forward f = forward(recorder, step);
  LAHAR_TRY(record_merge(f));
  const ops::NormFold* fold = folds_->before_attention(f, layers());
  if (fold == nullptr)
    LAHAR_TRY(record_norm(f, weights_.final_norm, scratch_.x, scratch_.normed, "final norm", spec_.final_norm_eps));
  const ops::StepRef rows{step.state, all_rows ? step.bucket : f.logit_rows};
  return record_linear(recorder, weights_.head, scratch_.normed, logits(rows.bucket), rows, options_.precision, "head",
                       {.scale = spec_.logit_scale,
                        .softcap = spec_.logit_softcap,
                        .logit_rows = !all_rows,
                        .x_norm = fold,
                        .x_scratch = scratch_.converted,
                        .tuning = options_.tuning});
}

}  // namespace lahar
