#include "tune/plan.h"

#include <algorithm>

#include "quant/layout.h"

namespace lahar::tune {
namespace {

// For a prompt's steps a longer context tells no more, and the slowest forms might run into a driver's watchdog.
constexpr uint32_t kMostPromptTokens = 4096;

// A program for all contexts has one form for all of them. Its time grows with the tokens, so that half as many as there may
// be take the mean of a sequence that grows to the end.
AttentionStep half_full(const gpu::Caps& caps, uint32_t bucket, uint32_t context) {
  const uint32_t half = bucket > ops::kDecodeRows ? std::min(context / 2, kMostPromptTokens) : context / 2;
  const uint32_t tokens = std::max(bucket, half);
  return {bucket, ops::recorded_context(caps, tokens) == 0 ? context : tokens, tokens};
}

// Where programs are recorded for contexts that grow, one step for each power of two that a context is told apart by.
std::vector<AttentionStep> growing_steps(const gpu::Caps& caps, const AttentionShape& shape, uint32_t bucket,
                                         uint32_t context) {
  uint32_t visible = context;
  for (const uint32_t limit : {shape.window, shape.chunk})
    if (limit != 0) visible = std::min(visible, limit);
  std::vector<AttentionStep> steps;
  for (uint64_t positions = std::max(bucket, ops::recorded_context(caps, 1));; positions *= 2) {
    const auto tokens = static_cast<uint32_t>(std::min<uint64_t>(positions, context));
    steps.push_back({bucket, tokens, tokens});
    if (tokens >= visible) return steps;
  }
}

}  // namespace

std::vector<uint32_t> step_buckets(const StepSizes& sizes) {
  std::vector<uint32_t> buckets = {1};
  while (buckets.back() < sizes.rows) buckets.push_back(2 * buckets.back());
  return buckets;
}

size_t TunePlan::cases() const {
  size_t n = attentions.size();
  for (const Matmul& m : matmuls) n += m.buckets.size();
  for (const Experts& e : experts) n += e.buckets.size();
  return n;
}

void TunePlan::add(const gpu::Caps& caps, const AttentionShape& shape, const StepSizes& sizes) {
  for (const uint32_t bucket : step_buckets(sizes)) {
    const bool one_program = ops::recorded_context(caps, bucket) == 0;
    if (one_program || bucket > ops::kDecodeRows) {
      attentions.push_back({shape, half_full(caps, bucket, sizes.context)});
    } else {
      for (const AttentionStep& step : growing_steps(caps, shape, bucket, sizes.context))
        attentions.push_back({shape, step});
    }
  }
}

TunePlan standard_plan(const gpu::Caps& caps, const StepSizes& sizes) {
  using enum quant::WeightFormat;
  const bool cpu = caps.is_cpu();
  const uint32_t hidden = cpu ? 576 : 4096, heads = cpu ? 9 : 32, kv_heads = cpu ? 3 : 8, dim = cpu ? 64 : 128;
  const uint32_t ffn = cpu ? 1536 : 14336;
  const std::vector<uint32_t> buckets = step_buckets(sizes);
  TunePlan plan;
  for (const quant::WeightFormat format : {kF16, kQ8_0, kQ4_0, kQ4_K, kQ6_K}) {
    if (hidden % quant::traits(format).block_values != 0) continue;
    const auto add = [&](uint32_t rows, uint32_t cols, ops::Activation glu) {
      plan.matmuls.push_back({{.matrix = {format, rows, cols, 0}, .glu = glu}, buckets});
    };
    add((heads + 2 * kv_heads) * dim, hidden, ops::Activation::kNone);
    add(hidden, hidden, ops::Activation::kNone);
    add(2 * ffn, hidden, ops::Activation::kSilu);
    add(hidden, ffn, ops::Activation::kNone);
  }
  plan.add(caps, {.cache = {ops::KvType::kF16, kv_heads, dim}, .heads = heads}, sizes);
  const uint32_t expert_hidden = cpu ? 512 : 2048, expert_width = cpu ? 256 : 768;
  plan.experts.push_back({{.gate_up = {kQ4_0, 2 * expert_width, expert_hidden, 0},
                           .down = {kQ4_0, expert_hidden, expert_width, 0},
                           .experts = cpu ? 32u : 128u,
                           .chosen = cpu ? 4u : 8u},
                          buckets});
  return plan;
}

}  // namespace lahar::tune
