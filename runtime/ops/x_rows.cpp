#include "ops/x_rows.h"

#include "ops/catalogue.h"
#include "ops/op_helpers.h"
#include "params_matmul.h"
#include "params_x_rows.h"

namespace lahar::ops {
namespace {

using namespace detail;

gpu::KernelDesc describe(const gpu::Caps& caps, RowsKind kind, bool gather) {
  const uint32_t subgroup = narrow_subgroup(caps);
  return {.shader = gpu::ShaderId::x_rows,
          .constants = {subgroups_of(caps, subgroup, 128, 128) * subgroup,
                        1,
                        1,
                        {static_cast<uint32_t>(kind), gather ? params::kMatmulGather : 0}},
          .subgroup_size = subgroup};
}

}  // namespace

uint32_t converted_row_bytes(RowsKind kind, uint32_t width) {
  return kind == RowsKind::kInt8 ? params::int8_row_bytes(width) : params::half_row_bytes(width);
}

Status convert_rows(gpu::Recorder& recorder, const ConvertRowsParams& p) {
  const gpu::Caps& caps = recorder.device().caps();
  const uint32_t bucket = p.step.bucket;
  if (p.width == 0) return invalid(p.label, "rows of no width");
  LAHAR_TRY(check_step(p.label, {p.step.state, p.logit_rows ? 1 : bucket}, UINT32_MAX));
  if (bucket == 0 || bucket > caps.max_workgroup_count[0])
    return invalid(p.label, "a bucket of " + std::to_string(bucket) + " rows");
  LAHAR_TRY(check_rows(p.label, "x", p.x, p.logit_rows ? 1 : bucket, p.width));
  const uint32_t row_bytes = converted_row_bytes(p.kind, p.width);
  LAHAR_TRY(check_vector(p.label, "converted rows", p.y, uint64_t{bucket} * row_bytes / sizeof(float)));
  const gpu::BufferRange x = p.logit_rows ? p.x.range : rows_of(p.x, bucket, p.width);
  const gpu::BufferRange y = p.y.part(0, uint64_t{bucket} * row_bytes);
  if (overlaps(x, y)) return invalid(p.label, "converted rows overlap x");
  const params::RowsPush push{
      .x = p.x.range.address(),
      .y = p.y.address(),
      .step = p.step.state.address(),
      .cols = p.width,
      .x_stride = p.x.stride,
      .x_rows = p.logit_rows && p.x.stride > 0
                    ? static_cast<uint32_t>((p.x.range.size / sizeof(float) - p.width) / p.x.stride + 1)
                    : bucket,
      .row_bytes = row_bytes,
      .bucket = bucket,
      .reserved = 0};
  const Ranges reads{x, p.step.state}, writes{y};
  recorder.dispatch({.label = p.label,
                     .kernel = recorder.device().kernels().get(describe(caps, p.kind, p.logit_rows)),
                     .push = gpu::push_bytes(push),
                     .groups = {bucket, 1, 1},
                     .reads = reads,
                     .writes = writes});
  return {};
}

void list_x_rows_kernels(const gpu::Caps& caps, std::vector<gpu::KernelDesc>& out) {
  for (const RowsKind kind : {RowsKind::kInt8, RowsKind::kHalf})
    for (const bool gather : {false, true}) out.push_back(describe(caps, kind, gather));
}

}  // namespace lahar::ops
