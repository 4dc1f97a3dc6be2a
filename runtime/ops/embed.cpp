#include "ops/embed.h"

#include <optional>

#include "ops/catalogue.h"
#include "ops/matmul_push.h"

namespace lahar::ops {
namespace {

using namespace detail;
using gpu::ShaderId;
using quant::WeightFormat;

static_assert(static_cast<uint16_t>(ShaderId::embed_i4) ==
              static_cast<uint16_t>(ShaderId::embed_f32) + static_cast<uint16_t>(WeightFormat::kCount) - 1);

gpu::KernelDesc describe(const gpu::Caps& caps, WeightFormat format, uint32_t positions) {
  return {.shader = for_format(ShaderId::embed_f32, format),
          .constants = {caps.is_cpu() ? caps.subgroup_size : 64, 1, 1, {positions}},
          .subgroup_size = 0};
}

// POSITIONS of embed.comp; nullopt for formats that it does not add.
std::optional<uint32_t> position_kind(const quant::Matrix* positions) {
  if (positions == nullptr) return 0;
  switch (positions->format) {
    case WeightFormat::kF32: return 1;
    case WeightFormat::kF16: return 2;
    case WeightFormat::kBF16: return 3;
    default: return std::nullopt;
  }
}

}  // namespace

Status embed(gpu::Recorder& recorder, const EmbedParams& p) {
  constexpr std::string_view kLabel = "embed";
  const gpu::Caps& caps = recorder.device().caps();
  quant::Layout shape, position_shape;
  LAHAR_TRY(check_matrix(kLabel, p.table, shape));
  const auto positions = position_kind(p.positions);
  if (!positions) return invalid(kLabel, "learned positions are F32, F16 or BF16");
  if (p.positions != nullptr) {
    LAHAR_TRY(check_matrix("positions", p.positions, position_shape));
    if (p.positions->cols != p.table->cols) return invalid(kLabel, "the tables differ in width");
  }
  const uint32_t rows = p.step.bucket;
  LAHAR_TRY(check_step(kLabel, p.step, caps.max_workgroup_count[0]));
  LAHAR_TRY(check_rows(kLabel, "y", p.y, rows, p.table->cols));

  params::EmbedPush push{};
  push_matrix(*p.table, shape, push);
  push.y = p.y.range.address(), push.step = p.step.state.address();
  push.vocabulary = p.table->rows;
  push.y_stride = p.y.stride;
  push.scale = p.scale;
  Ranges reads{plane_range(*p.table, shape, 0), plane_range(*p.table, shape, 1), plane_range(*p.table, shape, 2),
               p.step.state};
  if (p.positions != nullptr) {
    push.positions0 = p.positions->planes[0].address();
    push.n_positions = p.positions->rows;
    push.position_row_bytes = position_shape.row_bytes[0];
    reads.add(plane_range(*p.positions, position_shape, 0));
  }
  const Ranges writes{rows_of(p.y, rows, p.table->cols)};
  recorder.dispatch({.label = kLabel,
                     .kernel = recorder.device().kernels().get(describe(caps, p.table->format, *positions)),
                     .push = gpu::push_bytes(push),
                     .groups = {rows, 1, 1},
                     .reads = reads,
                     .writes = writes});
  return {};
}

void list_embed_kernels(const gpu::Caps& caps, std::vector<gpu::KernelDesc>& out) {
  for (uint16_t f = 0; f < static_cast<uint16_t>(WeightFormat::kCount); ++f)
    for (const uint32_t positions : {0u, 1u, 2u}) out.push_back(describe(caps, static_cast<WeightFormat>(f), positions));
}

}  // namespace lahar::ops
