#include "ops/head_product.h"

#include "ops/catalogue.h"
#include "ops/matmul_paths.h"
#include "ops/matmul_push.h"
#include "params_head_product.h"

namespace lahar::ops {
namespace {

using namespace detail;
using gpu::ShaderId;
using quant::WeightFormat;

static_assert(static_cast<uint16_t>(ShaderId::head_product_i4) ==
              static_cast<uint16_t>(ShaderId::head_product_f32) + static_cast<uint16_t>(WeightFormat::kCount) - 1);

// Rows computed together, so that the matrix is read once for all of them. Where it is transposed an invocation keeps the
// sums of a unit's columns: half as many where registers are few.
uint32_t tile_rows(const gpu::Caps& caps, WeightFormat format, uint32_t bucket, bool transposed) {
  const uint32_t rows = bucket >= 4 ? 4 : bucket >= 2 ? 2 : 1;
  if (!transposed || caps.is_cpu()) return rows;
  return std::min(rows, (few_registers(caps) ? 32 : 64) / unit_columns(format));
}

gpu::KernelDesc describe(const gpu::Caps& caps, WeightFormat format, uint32_t bucket, bool transposed) {
  return {.shader = for_format(ShaderId::head_product_f32, format),
          .constants = {caps.is_cpu() ? caps.subgroup_size : 64,
                        1,
                        1,
                        {tile_rows(caps, format, bucket, transposed), transposed ? 1u : 0u}},
          .subgroup_size = 0};
}

struct Widths {
  uint32_t x = 0, y = 0;  // of one head
};

Status check(const HeadProductParams& p, const gpu::Caps& caps, const Widths& widths) {
  if (p.heads == 0 || p.head_rows == 0 || p.head_rows % 4 != 0 || p.w->cols % 4 != 0 ||
      uint64_t{p.heads} * p.head_rows != p.w->rows)
    return invalid(p.label, "a matrix of " + std::to_string(p.w->rows) + " x " + std::to_string(p.w->cols) + " for " +
                                std::to_string(p.heads) + " heads of " + std::to_string(p.head_rows));
  if (p.x_head % 4 != 0 || p.y_head % 4 != 0 || p.y_head < widths.y || p.heads > caps.max_workgroup_count[1])
    return invalid(p.label, "heads that begin at no multiple of 4 floats, or overlap");
  const uint32_t rows = p.step.bucket;
  LAHAR_TRY(check_step(p.label, p.step, caps.max_workgroup_count[2]));
  LAHAR_TRY(check_rows(p.label, "x", p.x, rows, (p.heads - 1) * p.x_head + widths.x));
  LAHAR_TRY(check_rows(p.label, "y", p.y, rows, (p.heads - 1) * p.y_head + widths.y));
  return {};
}

}  // namespace

Status head_product(gpu::Recorder& recorder, const HeadProductParams& p) {
  const gpu::Caps& caps = recorder.device().caps();
  quant::Layout shape;
  LAHAR_TRY(check_matrix(p.label, p.w, shape));
  const Widths widths = p.transposed ? Widths{p.head_rows, p.w->cols} : Widths{p.w->cols, p.head_rows};
  LAHAR_TRY(check(p, caps, widths));
  const gpu::BufferRange x = rows_of(p.x, p.step.bucket, (p.heads - 1) * p.x_head + widths.x);
  const gpu::BufferRange y = rows_of(p.y, p.step.bucket, (p.heads - 1) * p.y_head + widths.y);
  if (overlaps(x, y)) return invalid(p.label, "y overlaps x");

  params::HeadProductPush push{};
  push_matrix(*p.w, shape, push);
  push.x = x.address(), push.y = y.address(), push.step = p.step.state.address();
  push.head_rows = p.head_rows;
  push.x_stride = p.x.stride, push.y_stride = p.y.stride;
  push.x_head = p.x_head, push.y_head = p.y_head;
  push.scale = p.scale;
  const gpu::KernelDesc desc = describe(caps, p.w->format, p.step.bucket, p.transposed);
  const uint32_t tiles = ceil_div(p.step.bucket, tile_rows(caps, p.w->format, p.step.bucket, p.transposed));
  const uint32_t units = p.transposed ? ceil_div(p.w->cols, unit_columns(p.w->format)) : p.head_rows;
  recorder.dispatch({.label = p.label,
                     .kernel = recorder.device().kernels().get(desc),
                     .push = gpu::push_bytes(push),
                     .groups = {ceil_div(units, desc.constants.values()[0]), p.heads, tiles},
                     .reads = Ranges{plane_range(*p.w, shape, 0), plane_range(*p.w, shape, 1), plane_range(*p.w, shape, 2),
                                     x, p.step.state},
                     .writes = Ranges{y}});
  return {};
}

void list_head_product_kernels(const gpu::Caps& caps, std::vector<gpu::KernelDesc>& out) {
  for (uint16_t f = 0; f < static_cast<uint16_t>(WeightFormat::kCount); ++f)
    for (const bool transposed : {false, true})
      for (const uint32_t bucket : {1u, 4u}) out.push_back(describe(caps, static_cast<WeightFormat>(f), bucket, transposed));
}

}  // namespace lahar::ops
