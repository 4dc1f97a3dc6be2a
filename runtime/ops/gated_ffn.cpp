#include "ops/gated_ffn.h"

#include <optional>

#include "ops/catalogue.h"
#include "ops/loop_helpers.h"
#include "ops/matmul_paths.h"

namespace lahar::ops {
namespace {

using namespace detail;
using gpu::ShaderId;
using quant::WeightFormat;

// With more threads than that, a dispatch is better shared out by rows.
constexpr uint32_t kMostShares = 8;

std::optional<ShaderId> shader_of(WeightFormat format) {
  switch (format) {
    case WeightFormat::kF16: return ShaderId::loop_ffn_f16;
    case WeightFormat::kQ8_0: return ShaderId::loop_ffn_q8_0;
    case WeightFormat::kQ4_0: return ShaderId::loop_ffn_q4_0;
    case WeightFormat::kQ4_K: return ShaderId::loop_ffn_q4_k;
    case WeightFormat::kQ6_K: return ShaderId::loop_ffn_q6_k;
    default: return std::nullopt;
  }
}

uint32_t share_count(const gpu::Caps& caps, WeightFormat format, uint32_t width) {
  return std::min({cpu_threads(), kMostShares, width / block_columns(format, caps.subgroup_size)});
}

gpu::KernelDesc describe(const gpu::Caps& caps, ShaderId shader, const quant::Matrix& gate_up, uint32_t flags,
                         Activation activation) {
  const uint32_t lanes = caps.subgroup_size, rows = loop_form(gate_up.format).rows;
  return {.shader = shader,
          .constants = {lanes, 1, 1, {lanes, rows, gate_up.cols, flags, static_cast<uint32_t>(activation)}},
          .subgroup_size = lanes};
}

Status check(const GatedFfnParams& p, quant::Layout& up, quant::Layout& down) {
  LAHAR_TRY(check_matrix(p.label, p.gate_up, up));
  LAHAR_TRY(check_matrix(p.label, p.down, down));
  if (p.gate_up->rows != 2 * p.down->cols)
    return invalid(p.label, "gate and up of " + std::to_string(p.gate_up->rows) + " rows, the way back with " +
                                std::to_string(p.down->cols) + " columns");
  LAHAR_TRY(check_step(p.label, p.step, UINT32_MAX));
  LAHAR_TRY(check_rows(p.label, "x", p.x, 1, p.gate_up->cols));
  LAHAR_TRY(check_rows(p.label, "y", p.y, 1, p.down->rows));
  LAHAR_TRY(check_rows(p.label, "mid", p.mid, 1, p.down->cols));
  for (const gpu::BufferRange& written : {p.y.range, p.mid.range, p.parts})
    if (overlaps(written, p.x.range)) return invalid(p.label, "x overlaps what is written");
  if (overlaps(p.y.range, p.mid.range) || overlaps(p.y.range, p.parts) || overlaps(p.mid.range, p.parts))
    return invalid(p.label, "y, mid and parts overlap");
  for (const auto& [fold, width] : {std::pair(p.x_norm, p.gate_up->cols), std::pair(p.y_norm, p.down->rows)})
    if (fold != nullptr) LAHAR_TRY(check_norm_fold(p.label, *fold, width, 1));
  if (p.x_norm != nullptr && !same_rows(p.x, p.x_norm->scaled))
    return invalid(p.label, "x is not what the folded norm scaled");
  return {};
}

}  // namespace

bool can_gated_ffn(const gpu::Caps& caps, const GatedFfnParams& p) {
  const std::optional<ShaderId> shader = shader_of(p.gate_up->format);
  if (p.step.bucket != 1 || !shader || p.down->format != p.gate_up->format || !can_loop_over(caps, *shader)) return false;
  const uint32_t width = p.down->cols, columns = block_columns(p.down->format, caps.subgroup_size), blocks = width / columns;
  if (width == 0 || width % columns != 0) return false;
  if (p.tuning != nullptr && p.tuning->quarantined(to_string(loop_form(p.down->format))) != nullptr) return false;
  // No thread waits for longer than a quarter of the time.
  const uint32_t threads = std::min(cpu_threads(), kMostShares);
  return cpu_threads() <= kMostShares && 4 * ceil_div(blocks, threads) * threads <= 5 * blocks &&
         p.parts.size >= gated_ffn_parts_bytes(p.down->rows) && p.counter.size >= sizeof(uint32_t);
}

uint64_t gated_ffn_parts_bytes(uint32_t rows) {
  return uint64_t{std::min(cpu_threads(), kMostShares)} * rows * sizeof(float);
}

Status gated_ffn(gpu::Recorder& recorder, const GatedFfnParams& p) {
  const gpu::Caps& caps = recorder.device().caps();
  quant::Layout up, down;
  LAHAR_TRY(check(p, up, down));
  if (!can_gated_ffn(caps, p)) return invalid(p.label, "no kernel for the whole block");
  const uint32_t shares = share_count(caps, p.down->format, p.down->cols);
  params::LoopFfnPush push{};
  for (size_t i = 0; i < 3; ++i) push.up[i] = p.gate_up->planes[i].address(), push.down[i] = p.down->planes[i].address();
  push.x = p.x.range.address(), push.y = p.y.range.address(), push.mid = p.mid.range.address();
  push.parts = p.parts.address(), push.counter = p.counter.address(), push.step = p.step.state.address();
  push.x_fold = p.x_norm != nullptr ? p.x_norm->block.address() : 0;
  push.y_fold = p.y_norm != nullptr ? p.y_norm->block.address() : 0;
  push.width = p.down->cols, push.rows = p.down->rows, push.residual_scale = p.residual_scale;
  push.blocks = p.gate_up->cols / block_columns(p.gate_up->format, caps.subgroup_size);
  const uint32_t flags = (p.x_norm != nullptr ? params::kMatmulNormX : 0) | (p.y_norm != nullptr ? params::kMatmulNormY : 0);

  const gpu::BufferRange y = rows_of(p.y, 1, p.down->rows), counter = p.counter.part(0, sizeof(uint32_t));
  Ranges reads{rows_of(p.x, 1, p.gate_up->cols), y, counter, p.step.state};
  Ranges writes{y, counter, rows_of(p.mid, 1, p.down->cols),
                p.parts.part(0, uint64_t{shares} * p.down->rows * sizeof(float))};
  for (uint32_t plane = 0; plane < 3; ++plane)
    reads.add(plane_range(*p.gate_up, up, plane)), reads.add(plane_range(*p.down, down, plane));
  if (p.x_norm != nullptr) add_x_norm(*p.x_norm, reads);
  if (p.y_norm != nullptr) add_y_norm(*p.y_norm, 1, p.down->rows, reads, writes);
  recorder.dispatch({.label = p.label,
                     .kernel = recorder.device().kernels().get(
                         describe(caps, *shader_of(p.gate_up->format), *p.gate_up, flags, p.activation)),
                     .push = gpu::push_bytes(push),
                     .groups = {shares, 1, 1},
                     .reads = reads,
                     .writes = writes});
  return {};
}

void list_gated_ffn_kernels(const gpu::Caps& caps, std::vector<gpu::KernelDesc>& out) {
  for (const WeightFormat format :
       {WeightFormat::kF16, WeightFormat::kQ8_0, WeightFormat::kQ4_0, WeightFormat::kQ4_K, WeightFormat::kQ6_K}) {
    const quant::Matrix w{.format = format, .rows = 1024, .cols = 512, .group = 0, .planes = {}};
    if (can_loop_over(caps, *shader_of(format))) out.push_back(describe(caps, *shader_of(format), w, 0, Activation::kSilu));
  }
}

}  // namespace lahar::ops
