// The weights that a span of a plan's rows stands for, as the tensors have them.
#pragma once

#include <array>
#include <vector>

#include "packed_weights.h"
#include "quant/replane.h"
#include "weight_reader.h"

namespace lahar::test {

inline Status span_values(const WeightPlan::Data& data, const MatrixPlan& part, const RowSpan& span,
                          std::vector<float>& values) {
  values.resize(size_t{span.rows} * part.cols);
  if (span.piece->packed) {
    LAHAR_ASSIGN(const quant::Layout layout, quant::layout(part.format, span.rows, part.cols, part.group));
    std::array<std::vector<std::byte>, quant::kMaxPlanes> planes;
    for (uint32_t p = 0; p < layout.planes; ++p) planes[p].resize(layout.plane_bytes[p]);
    LAHAR_TRY(repack_rows(part, *span.piece, {span.file_row, span.rows, span.step}, {planes[0], planes[1], planes[2]}));
    return quant::planes_to_floats(part.format, span.rows, part.cols, part.group, {planes[0], planes[1], planes[2]}, values);
  }
  std::vector<std::byte> scratch;
  LAHAR_TRY(quant::to_floats(span.piece->tensor->dtype, file_rows(span, scratch), values));
  if (part.fold_scale)
    for (float& value : values) value *= span.piece->scale;
  if (part.quantize || !quant::traits(part.format).grouped) return {};
  std::vector<float> scales;
  LAHAR_TRY(read_scales(data, part, span, scales));
  const size_t groups = scales.size() / span.rows;
  for (size_t i = 0; i < values.size(); ++i) values[i] *= scales[i / part.cols * groups + i % part.cols / part.group];
  return {};
}

}  // namespace lahar::test
