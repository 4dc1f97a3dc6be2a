#include "ops/attention_block.h"

#include <optional>

#include "ops/attention_paths.h"
#include "ops/catalogue.h"
#include "ops/loop_helpers.h"
#include "ops/matmul_paths.h"
#include "ops/rope.h"

namespace lahar::ops {
namespace {

using namespace detail;
using gpu::ShaderId;
using quant::WeightFormat;

constexpr WeightFormat kBlockFormats[] = {WeightFormat::kF16, WeightFormat::kQ8_0, WeightFormat::kQ4_0, WeightFormat::kQ4_K,
                                          WeightFormat::kQ6_K};
constexpr uint32_t kMostGroup = 4, kMostHeadDim = 128;
// Multiplications that a thread makes while the dispatches would be under way that the block saves.
constexpr uint64_t kSavedProducts = 800'000;

std::optional<ShaderId> shader_of(WeightFormat format) {
  switch (format) {
    case WeightFormat::kF16: return ShaderId::attention_block_f16;
    case WeightFormat::kQ8_0: return ShaderId::attention_block_q8_0;
    case WeightFormat::kQ4_0: return ShaderId::attention_block_q4_0;
    case WeightFormat::kQ4_K: return ShaderId::attention_block_q4_k;
    case WeightFormat::kQ6_K: return ShaderId::attention_block_q6_k;
    default: return std::nullopt;
  }
}

uint32_t rows_a_turn(WeightFormat format) { return loop_form(format).rows; }

bool quarantined(const gpu::Caps& caps, const AttentionBlockParams& p) {
  const Tuning* tuning = p.attention.tuning;
  if (tuning == nullptr) return false;
  if (tuning->quarantined(to_string(loop_form(p.qkv->format))) != nullptr) return true;
  AttentionParams plain = p.attention;
  plain.tuning = nullptr;
  return tuning->quarantined(to_string(default_form(caps, plain))) != nullptr;
}

// Columns that a KV head's part of a row must begin at a multiple of.
uint32_t granularity(WeightFormat format) {
  return format == WeightFormat::kF16 ? 8 : format == WeightFormat::kQ8_0 || format == WeightFormat::kQ4_0 ? 64 : 256;
}

// A workgroup does a whole KV head: true where threads that have none left would not wait for longer than that saves.
bool is_even(const AttentionBlockParams& p) {
  const uint64_t kv_heads = p.attention.kv.kv_heads, threads = cpu_threads();
  const uint64_t products = uint64_t{p.qkv->rows} * p.qkv->cols + uint64_t{p.out->rows} * p.out->cols +
                            uint64_t{visible_keys(p.attention)} * 2 * p.out->cols;
  const uint64_t busiest = (kv_heads + threads - 1) / threads;
  return products / kv_heads * busiest - products / threads <= kSavedProducts;
}

gpu::KernelDesc describe(const gpu::Caps& caps, const AttentionBlockParams& p) {
  const AttentionParams& a = p.attention;
  const RopeKvParams& r = *a.rope;
  const bool turns = r.pairing != RopePairing::kNone && r.rope_dims > 0;
  const uint32_t flags = (p.x_norm != nullptr ? params::kMatmulNormX : 0) |
                         (p.y_norm != nullptr ? params::kMatmulNormY : 0) | (p.bias ? params::kMatmulBias : 0);
  return {
      .shader = *shader_of(p.qkv->format),
      .constants = {caps.subgroup_size,
                    1,
                    1,
                    {caps.subgroup_size, rows_a_turn(p.qkv->format), p.qkv->cols, flags, a.kv.head_dim, group_of(a),
                     type_of(a), scores_of(a), a.chunk, turns ? r.rope_dims : 0,
                     turns ? static_cast<uint32_t>(r.pairing) : 0, static_cast<uint32_t>(r.qk_norm), r.q_norm ? 1u : 0u}},
      .subgroup_size = caps.subgroup_size};
}

Status check(const AttentionBlockParams& p, const gpu::Caps& caps, quant::Layout& qkv, quant::Layout& out) {
  const std::string_view label = p.attention.label;
  const RopeKvParams& rope = *p.attention.rope;
  LAHAR_TRY(check_rope(rope, caps));
  LAHAR_TRY(check_matrix(label, p.qkv, qkv));
  LAHAR_TRY(check_matrix(label, p.out, out));
  const uint32_t dim = p.attention.kv.head_dim, width = p.attention.heads * dim;
  const uint32_t qkv_rows = width + 2 * p.attention.kv.kv_heads * dim;
  if (p.qkv->rows != qkv_rows || p.out->cols != width)
    return invalid(label, "projections to " + std::to_string(p.qkv->rows) + " and from " + std::to_string(p.out->cols) +
                              " for q, k and v of " + std::to_string(qkv_rows) + " and heads of " + std::to_string(width));
  LAHAR_TRY(check_step(label, p.attention.step, UINT32_MAX));
  LAHAR_TRY(check_rows(label, "x", p.x, 1, p.qkv->cols));
  LAHAR_TRY(check_rows(label, "y", p.y, 1, p.out->rows));
  LAHAR_TRY(check_rows(label, "qkv", rope.qkv, 1, qkv_rows));
  LAHAR_TRY(check_rows(label, "out", p.attention.out, 1, width));
  if (p.bias) LAHAR_TRY(check_vector(label, "bias", p.bias, qkv_rows));
  const gpu::BufferRange apart[] = {p.x.range, p.y.range, rope.qkv.range, p.attention.out.range, p.parts, p.counter};
  for (size_t i = 0; i < std::size(apart); ++i)
    for (size_t j = 0; j < i; ++j)
      if (overlaps(apart[i], apart[j])) return invalid(label, "x, y, qkv, out, parts and the counter overlap");
  for (const auto& [fold, n] : {std::pair(p.x_norm, p.qkv->cols), std::pair(p.y_norm, p.out->rows)})
    if (fold != nullptr) LAHAR_TRY(check_norm_fold(label, *fold, n, 1));
  if (p.x_norm != nullptr && !same_rows(p.x, p.x_norm->scaled))
    return invalid(label, "x is not what the folded norm scaled");
  if (!p.block || p.block.size < sizeof(params::AttentionBlock)) return invalid(label, "the block's contents are missing");
  return {};
}

}  // namespace

bool can_attention_block(const gpu::Caps& caps, const AttentionBlockParams& p) {
  const AttentionParams& a = p.attention;
  const std::optional<ShaderId> shader = shader_of(p.qkv->format);
  if (!shader || p.out->format != p.qkv->format || !can_loop_over(caps, *shader) || a.rope == nullptr) return false;
  const uint32_t dim = a.kv.head_dim;
  return folds_rope(caps, a, {.path = AttentionPath::kLoop}) && group_of(a) <= kMostGroup && dim <= kMostHeadDim &&
         dim % rows_a_turn(p.qkv->format) == 0 && group_of(a) * dim % granularity(p.qkv->format) == 0 &&
         p.parts.size >= uint64_t{a.kv.kv_heads} * p.out->rows * sizeof(float) && p.counter.size >= sizeof(uint32_t) &&
         is_even(p) && !quarantined(caps, p);
}

params::AttentionBlock attention_block_contents(const AttentionBlockParams& p) {
  const RopeKvParams& rope = *p.attention.rope;
  params::AttentionBlock b{};
  for (size_t i = 0; i < 3; ++i) b.qkv_planes[i] = p.qkv->planes[i].address(), b.out_planes[i] = p.out->planes[i].address();
  b.bias = p.bias.address(), b.x = p.x.range.address(), b.y = p.y.range.address();
  b.qkv = rope.qkv.range.address(), b.attended = p.attention.out.range.address();
  b.parts = p.parts.address(), b.counter = p.counter.address();
  b.x_fold = p.x_norm != nullptr ? p.x_norm->block.address() : 0;
  b.y_fold = p.y_norm != nullptr ? p.y_norm->block.address() : 0;
  b.frequencies = rope.inverse_frequencies.address();
  b.q_norm = rope.q_norm.address(), b.k_norm = rope.k_norm.address(), b.sinks = p.attention.sinks.address();
  b.rows = p.out->rows;
  return b;
}

Status attention_block(gpu::Recorder& recorder, const AttentionBlockParams& p) {
  const gpu::Caps& caps = recorder.device().caps();
  const AttentionParams& a = p.attention;
  if (a.rope == nullptr) return invalid(a.label, "a block without its rope");
  quant::Layout qkv, out;
  LAHAR_TRY(check(p, caps, qkv, out));
  if (!can_attention_block(caps, p)) return invalid(a.label, "no kernel for the whole block");
  const uint32_t columns = block_columns(p.qkv->format, caps.subgroup_size);
  const params::AttentionBlockPush push{.block = p.block.address(),
                                        .step = a.step.state.address(),
                                        .kv = a.kv.address,
                                        .window = a.window,
                                        .scale = a.scale,
                                        .softcap = a.softcap,
                                        .alibi = alibi_decline(a),
                                        .magnitude = a.rope->magnitude,
                                        .eps = a.rope->qk_norm_eps,
                                        .residual_scale = p.residual_scale,
                                        .blocks = p.qkv->cols / columns,
                                        .out_blocks = group_of(a) * a.kv.head_dim / columns};
  const gpu::BufferRange y = rows_of(p.y, 1, p.out->rows), counter = p.counter.part(0, sizeof(uint32_t));
  Ranges reads = attention_reads(a);
  Ranges writes{y, counter, rows_of(a.rope->qkv, 1, p.qkv->rows), attention_out(a),
                p.parts.part(0, uint64_t{a.kv.kv_heads} * p.out->rows * sizeof(float))};
  for (const gpu::BufferRange& range : {p.block.part(0, sizeof(params::AttentionBlock)), rows_of(p.x, 1, p.qkv->cols), y,
                                        counter, p.bias, a.rope->inverse_frequencies, a.rope->q_norm, a.rope->k_norm})
    reads.add(range);
  for (uint32_t plane = 0; plane < 3; ++plane)
    reads.add(plane_range(*p.qkv, qkv, plane)), reads.add(plane_range(*p.out, out, plane));
  for (const gpu::BufferRange& segment : a.kv.segments) writes.add(segment);
  if (p.x_norm != nullptr) add_x_norm(*p.x_norm, reads);
  if (p.y_norm != nullptr) add_y_norm(*p.y_norm, 1, p.out->rows, reads, writes);
  recorder.dispatch({.label = a.label,
                     .kernel = recorder.device().kernels().get(describe(caps, p)),
                     .push = gpu::push_bytes(push),
                     .groups = {a.kv.kv_heads, 1, 1},
                     .reads = reads,
                     .writes = writes});
  return {};
}

void list_attention_block_kernels(const gpu::Caps& caps, std::vector<gpu::KernelDesc>& out) {
  for (const WeightFormat format : kBlockFormats) {
    const quant::Matrix w{.format = format, .rows = 1024, .cols = 512, .group = 0, .planes = {}};
    const RopeKvParams rope{.rope_dims = 64};
    AttentionBlockParams p{.qkv = &w, .out = &w, .attention = {.heads = 8, .rope = &rope}};
    p.attention.kv.kv_heads = 2, p.attention.kv.head_dim = 64;
    if (can_loop_over(caps, *shader_of(format))) out.push_back(describe(caps, p));
  }
}

}  // namespace lahar::ops
