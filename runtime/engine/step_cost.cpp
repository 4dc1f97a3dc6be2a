#include "engine/step_cost.h"

#include <algorithm>

namespace lahar {
namespace {

uint64_t bytes_of(const Linear& linear) {
  uint64_t bytes = linear.bias.size;
  for (const LinearPart& part : linear.parts)
    for (const gpu::BufferRange& plane : part.matrix.planes) bytes += plane.size;
  return bytes;
}
uint64_t bytes_of(const NormWeights& norm) { return norm.weight.size + norm.bias.size; }

uint64_t bytes_of(const BlockWeights& block) {
  uint64_t bytes = 0;
  for (const Linear& linear : block.linears) bytes += bytes_of(linear);
  for (const gpu::BufferRange& vector : block.vectors) bytes += vector.size;
  return bytes;
}

double products(const Linear& linear) { return static_cast<double>(linear.rows) * linear.cols; }

// With `chosen` experts for each row.
double products(const BlockWeights& block, uint32_t chosen) {
  double count = 0;
  for (const Linear& linear : block.linears) count += products(linear);
  for (const ops::ExpertMatrix* m : {&block.experts.gate_up, &block.experts.up, &block.experts.down})
    count += static_cast<double>(m->rows) * m->cols * chosen;
  return count;
}

uint64_t visible(const LayerSpec& layer, uint64_t context) {
  return layer.attention.window == 0 ? context : std::min<uint64_t>(context, layer.attention.window);
}

}  // namespace

uint64_t step_weight_bytes(const ModelSpec& spec, const ModelWeights& weights) {
  uint64_t bytes = bytes_of(weights.head) + bytes_of(weights.final_norm);
  for (size_t i = 0; i < weights.layers.size(); ++i) {
    const LayerWeights& layer = weights.layers[i];
    bytes += bytes_of(layer.mixer) + bytes_of(layer.ffn) + spec.layers[i].moe.chosen * layer.ffn.expert_bytes();
    for (const Linear* linear : {&layer.qkv, &layer.attention_output, &layer.up, &layer.down}) bytes += bytes_of(*linear);
    for (const NormWeights* norm : {&layer.pre_attention, &layer.post_attention, &layer.pre_ffn, &layer.post_ffn})
      bytes += bytes_of(*norm);
    bytes += layer.q_norm.size + layer.k_norm.size;
  }
  return bytes;
}

uint64_t layer_kv_bytes(const ModelSpec& spec, const KvPageLayout& layout, size_t layer, uint64_t context) {
  const uint64_t end = layer + 1 < spec.layers.size() ? layout.key_offsets[layer + 1] : layout.page_bytes;
  return (end - layout.key_offsets[layer]) * visible(spec.layers[layer], context) / params::kPageTokens;
}

uint64_t row_kv_bytes(const ModelSpec& spec, const KvPageLayout& layout, uint64_t context) {
  uint64_t bytes = 0;
  for (size_t i = 0; i < spec.layers.size(); ++i) bytes += layer_kv_bytes(spec, layout, i, context);
  return bytes;
}

double prefill_flops(const ModelSpec& spec, const ModelWeights& weights, uint64_t tokens, uint64_t depth) {
  double flops = 2 * products(weights.head);
  for (size_t i = 0; i < spec.layers.size(); ++i) {
    const LayerWeights& w = weights.layers[i];
    flops += 2.0 * static_cast<double>(tokens) *
             (products(w.qkv) + products(w.attention_output) + products(w.up) + products(w.down) + products(w.mixer, 0) +
              products(w.ffn, spec.layers[i].moe.chosen));
    double keys = 0;  // of all rows together
    for (uint64_t t = 0; t < tokens; ++t) keys += static_cast<double>(visible(spec.layers[i], depth + t + 1));
    flops += 4.0 * keys * spec.layers[i].attention.heads * spec.layers[i].attention.head_dim;  // q.k and p.v
  }
  return flops;
}

}  // namespace lahar
